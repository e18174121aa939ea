/** The globals of Node that the portable core uses if present; in a page they never are. */
declare var process: { readonly env?: Readonly<Record<string, string | undefined>> } | undefined;

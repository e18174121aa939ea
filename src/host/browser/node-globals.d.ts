/** What the portable core asks of Node if it is there, which it never is in a page. */
declare var process: { readonly env?: Readonly<Record<string, string | undefined>> } | undefined;

/** Takes one line that the user should read; the command line prints it on standard error. */
export type MessageSink = (line: string) => void;

// Imported before anything else: a process that a command of ours has started for its own work ends with that command,
// however that ended and whatever this process is doing (src/host/node/tethered-process.ts). Nothing of it is worth keeping
// that a process killed with -9 would not have kept.
const isTethered = process.env.GHOSTBATCH_TETHERED === "1";
// Not for the programs that this one starts.
delete process.env.GHOSTBATCH_TETHERED;

if (isTethered && process.send) {
  const end = () => process.kill(process.pid, "SIGKILL");
  // The channel may have closed before this line.
  if (!process.connected) end();
  process.once("disconnect", end);
  // Listening for that would keep this process from ending by itself.
  process.channel?.unref();
  process.send("listening", () => undefined);
}

// A run that answers SIGUSR2 with a checkpoint is not ended by one that comes while it starts.
if (/ --on-usr2[= ]continue /.test(` ${process.argv.join(" ")} `)) process.on("SIGUSR2", () => undefined);

/** Sends a message to the process that started this one. Nothing happens if that has let go of it. */
export function tellParent(message: object): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

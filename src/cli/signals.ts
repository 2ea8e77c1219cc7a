/** SIGINT and SIGTERM as an AbortSignal. */

export interface EndSignal {
  /** Aborts at the first of them. */
  readonly signal: AbortSignal
  /** Listens no more; the process again ends as it would by itself. */
  release(): void
}

/** `onSecond`: called at the second one, to end at once. */
export function endSignal(onSecond: () => void = () => {}): EndSignal {
  const controller = new AbortController()
  const onSignal = () => {
    if (controller.signal.aborted) onSecond()
    controller.abort()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return {
    signal: controller.signal,
    release() {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    },
  }
}

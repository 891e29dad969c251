/** Follows a job's answer as Server-Sent Events. `EventSource` can send no token, so this reads the stream itself. */
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { authorizedFetch } from './client'
import { errorOf, isApiError } from './errors'

export interface Done {
  status: 'succeeded' | 'cancelled'
  charged?: number
  currentBalance?: number
  finishReason?: string
}

export interface Failed {
  code: string
  message: string
}

export type End = { done: Done } | { failed: Failed }

export interface Follower {
  /** Characters (code points) of the answer that were shown already. */
  after: number
  onText: (text: string) => void
  /** Whether the connection is there; the answer goes on without it. */
  onConnection?: (connected: boolean) => void
  signal: AbortSignal
}

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 8_000

/** Resolves with the end of the job, through lost connections. Rejects when aborted, or when the job is unknown. */
export async function follow(jobId: string, follower: Follower): Promise<End> {
  let after = follower.after
  let pause = FIRST_PAUSE_MS
  for (;;) {
    try {
      const response = await open(jobId, after, follower.signal)
      follower.onConnection?.(true)
      pause = FIRST_PAUSE_MS
      for await (const event of eventsOf(response)) {
        after = Number(event.id ?? after)
        if (event.event === 'chunk') follower.onText((JSON.parse(event.data) as { content: string }).content)
        if (event.event === 'done') return { done: JSON.parse(event.data) as Done }
        if (event.event === 'error') return { failed: JSON.parse(event.data) as Failed }
      }
    } catch (error) {
      if (follower.signal.aborted || isPermanent(error)) throw error
    }
    // It broke off before the end: go on where we were.
    follower.onConnection?.(false)
    await sleep(pause, follower.signal)
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
  }
}

async function open(jobId: string, after: number, signal: AbortSignal): Promise<Response> {
  const response = await authorizedFetch(`/api/chat/jobs/${encodeURIComponent(jobId)}/events?after=${after}`, {
    headers: { Accept: 'text/event-stream' },
    signal,
  })
  if (!response.ok) throw await errorOf(response)
  return response
}

async function* eventsOf(response: Response) {
  if (response.body === null) return
  const reader = response.body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>)
    .pipeThrough(new EventSourceParserStream())
    .getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    reader.cancel().catch(() => undefined)
  }
}

function isPermanent(error: unknown): boolean {
  return isApiError(error) && error.status >= 400 && error.status < 500 && error.status !== 429
}

/** Waits, but no longer than until the network is back. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (finish: () => void) => () => {
      clearTimeout(timer)
      removeEventListener('online', wake)
      signal.removeEventListener('abort', stop)
      finish()
    }
    const wake = end(resolve)
    const stop = end(() => reject(signal.reason as Error))
    const timer = setTimeout(wake, milliseconds)
    addEventListener('online', wake)
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
  })
}

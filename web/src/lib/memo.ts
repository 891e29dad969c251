import type { components } from '@/api/schema'

/**
 * What this browser remembers of a question whose answer it hasn't seen the end of, one per session: enough to send the
 * question again under the same key if it is not known whether it arrived, and to go on with the answer after a reload.
 */
export interface Memo {
  /** The idempotency key: the server takes the question once, however often it is sent. */
  key: string
  /** `elsewhere`: asked in another browser, so that it can't be asked again here. */
  kind: 'ask' | 'edit' | 'regenerate' | 'elsewhere'
  /** Of `edit` and `regenerate`. */
  messageId: string | null
  question: string
  assistant: string
  /** The message that the turn stands after; null at the beginning. */
  after: string | null
  /** Once the server has taken it. */
  jobId: string | null
}

/** Of a job that the server says is being answered; `last` is the newest message there is. */
export function memoOfJob({ jobId, question, parentId }: components['schemas']['RunningJob'], last: string | null): Memo {
  const after = parentId === undefined ? last : parentId
  return { key: '', kind: 'elsewhere', messageId: null, question: question ?? '', assistant: '', after, jobId }
}

const PREFIX = 'talkmeter.job.'

/** Also over another tab's of the same session: what was asked last is gone on with. */
export function keepMemo(sessionId: string, memo: Memo): void {
  localStorage.setItem(PREFIX + sessionId, JSON.stringify(memo))
}

export function memoOf(sessionId: string): Memo | null {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + sessionId) ?? 'null') as Memo | null
  } catch {
    return null
  }
}

/** Unless another question of the session is remembered by now, by another tab. */
export function dropMemo(sessionId: string, memo: Memo): void {
  const kept = memoOf(sessionId)
  const isThis = kept && (kept.key === memo.key || (kept.jobId !== null && kept.jobId === memo.jobId))
  if (isThis) localStorage.removeItem(PREFIX + sessionId)
}

/** Questions are private: none stays behind when somebody logs out. */
export function dropAllMemos(): void {
  for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key)
}

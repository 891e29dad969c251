/** One question and its answer as it is written, through reloads and lost connections. */
import { ref, shallowRef } from 'vue'
import { cancel, submit } from '@/api/chat'
import { newKey } from '@/api/client'
import { ApiError, isApiError } from '@/api/errors'
import { follow } from '@/api/events'
import type { End } from '@/api/events'
import { loginId } from '@/api/tokens'
import { dropDraft, keepDraft, keepSpare } from '@/lib/draft'
import { dropMemo, keepMemo, memoOf } from '@/lib/memo'
import type { Memo } from '@/lib/memo'

export type TurnState = 'none' | 'sending' | 'running' | 'failed' | 'stopped'

export function useTurn(onEnd: (sessionId: string) => Promise<void>) {
  const state = ref<TurnState>('none')
  const memo = shallowRef<Memo | null>(null)
  const text = ref('')
  const connected = ref(true)
  const error = shallowRef<ApiError | null>(null)
  let sessionId = ''
  // Whether the server has decided about the question, so that asking again is another question.
  let decided = true
  let leaving = new AbortController()

  /**
   * Asks, or goes on with what was asked before. Resolves when the answer has ended, or somebody left: to whether it
   * ended and nothing of it is left to be shown here.
   */
  async function run(session: string, asked: Memo): Promise<boolean> {
    leave()
    sessionId = session
    memo.value = asked
    state.value = asked.jobId ? 'running' : 'sending'
    const { signal } = leaving
    // Of a question that was asked elsewhere the server tells again. One that another tab follows is not forgotten for
    // one that may be refused because of it.
    if (asked.kind !== 'elsewhere' && (asked.jobId !== null || !memoOf(session)?.jobId)) keepMemo(session, asked)
    try {
      const end = await answer(session, asked, signal)
      if (!signal.aborted) return await finish(end)
    } catch (failure) {
      if (!signal.aborted) fail(failure)
    }
    return false
  }

  async function answer(session: string, asked: Memo, signal: AbortSignal): Promise<End> {
    const asker = loginId()
    const jobId = asked.jobId ?? (await submit(session, asked))
    if (asked.jobId === null) {
      const known = { ...asked, jobId }
      // Also if somebody left meanwhile: who comes back goes on with it. Not if they logged out.
      if (loginId() === asker) keepMemo(session, known)
      if (!signal.aborted) memo.value = known
      dropDraft()
    }
    if (!signal.aborted) state.value = 'running'
    return follow(jobId, {
      after: 0,
      onText: (piece) => {
        text.value += piece
      },
      onConnection: (there) => {
        connected.value = there
      },
      signal,
    })
  }

  async function finish(end: End): Promise<boolean> {
    if (memo.value) dropMemo(sessionId, memo.value)
    decided = true
    if ('failed' in end) {
      error.value = new ApiError(500, end.failed.code, '', end.failed.message)
      state.value = 'failed'
      return false
    }
    await onEnd(sessionId)
    if (end.done.status === 'cancelled' && text.value === '') {
      state.value = 'stopped'
      return false
    }
    forget()
    return true
  }

  function fail(failure: unknown): void {
    if (!isApiError(failure)) throw failure
    decided = failure.isDefinite
    // While it isn't known whether it arrived the memo stays, so that it is sent again under the same key.
    if (decided && memo.value) dropMemo(sessionId, memo.value)
    if (failure.needsMoney && memo.value?.kind === 'ask') {
      keepDraft(memo.value.question)
      if (memo.value.after === null) keepSpare(sessionId)
    }
    error.value = failure
    state.value = 'failed'
  }

  async function retry(): Promise<void> {
    const asked = memo.value
    if (!asked || asked.kind === 'elsewhere') return
    await run(sessionId, decided ? { ...asked, jobId: null, key: newKey() } : asked)
  }

  async function stop(): Promise<void> {
    const jobId = memo.value?.jobId
    if (jobId) await cancel(jobId)
  }

  /** Stops following; the job goes on. */
  function leave(): void {
    leaving.abort()
    leaving = new AbortController()
    forget()
  }

  function forget(): void {
    state.value = 'none'
    memo.value = null
    text.value = ''
    connected.value = true
    error.value = null
  }

  return { state, memo, text, connected, error, run, retry, stop, leave, forget }
}

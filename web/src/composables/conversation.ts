/** A session as it is shown: its messages, and the turn that is being written. */
import { computed, ref, shallowRef } from 'vue'
import { pageOf, select as selectBranch } from '@/api/chat'
import type { Message, RunningJob } from '@/api/chat'
import { newKey } from '@/api/client'
import { isApiError } from '@/api/errors'
import type { ApiError } from '@/api/errors'
import { dropMemo, memoOf, memoOfJob } from '@/lib/memo'
import type { Memo } from '@/lib/memo'
import { useTurn } from './turn'

export function useConversation(onAnswer: () => void) {
  const sessionId = ref<string | null>(null)
  const messages = shallowRef<Message[]>([])
  const earlier = ref<string | null>(null)
  const loading = ref(false)
  const error = shallowRef<ApiError | null>(null)
  const turn = useTurn(async (session) => {
    // That it can't be read now makes it no question to be asked again.
    if (session === sessionId.value) await guarded(load)
    onAnswer()
  })
  const busy = computed(() => turn.state.value === 'sending' || turn.state.value === 'running')

  /** The messages that stay while a turn takes the place of those after it. One that failed changed nothing. */
  const shown = computed(() => {
    const memo = turn.memo.value
    if (!memo || !busy.value) return messages.value
    const place = messages.value.findIndex((message) => message.id === memo.after)
    return memo.after === null ? [] : place < 0 ? messages.value : messages.value.slice(0, place + 1)
  })
  /** The question of the turn, where it isn't among the messages. */
  const question = computed(() => {
    const memo = turn.memo.value
    return memo?.question || null
  })

  async function guarded(work: () => Promise<void>): Promise<void> {
    error.value = null
    try {
      await work()
    } catch (failure) {
      if (!isApiError(failure)) throw failure
      error.value = failure
    }
  }

  let runningJob: RunningJob | null = null

  async function load(): Promise<void> {
    const session = sessionId.value
    if (session === null) return
    const page = await pageOf(session)
    if (session !== sessionId.value) return
    messages.value = page.messages
    earlier.value = page.nextCursor
    runningJob = page.runningJob
  }

  /** Shows another session, or with null an empty one; goes on with an answer that was being written there. */
  async function open(session: string | null): Promise<void> {
    turn.leave()
    sessionId.value = session
    messages.value = []
    earlier.value = null
    error.value = null
    runningJob = null
    if (session === null) return
    loading.value = true
    await guarded(load)
    if (session !== sessionId.value) return
    loading.value = false
    if (error.value) return
    await goOn(session, pending(session))
  }

  /** What is being answered in the session that was just read: as this browser remembers it, or the server says. */
  function pending(session: string): Memo | null {
    const last = messages.value.at(-1)?.id ?? null
    const isThere = (jobId: string) => messages.value.some((message) => message.id.startsWith(`${jobId}:`))
    const running = runningJob && !isThere(runningJob.jobId) ? memoOfJob(runningJob, last) : null
    const kept = memoOf(session)
    if (kept === null || kept.jobId === null || kept.jobId === running?.jobId) return kept ?? running
    // Its answer has ended. That it failed is worth a word only if nothing was said since.
    if (running === null && !isThere(kept.jobId) && (kept.kind !== 'ask' || kept.after === last)) return kept
    dropMemo(session, kept)
    return running
  }

  /** Shows a turn to its end, and then the next that is being answered by now. */
  async function goOn(session: string, memo: Memo | null): Promise<void> {
    for (let next = memo; next !== null; next = pending(session)) {
      if (!(await turn.run(session, next)) || session !== sessionId.value || error.value) return
    }
  }

  /** Takes over a session that was just made, without reading it. */
  function adopt(session: string): void {
    sessionId.value = session
  }

  const loadEarlier = () =>
    guarded(async () => {
      if (sessionId.value === null || earlier.value === null) return
      const page = await pageOf(sessionId.value, earlier.value)
      messages.value = [...page.messages, ...messages.value]
      earlier.value = page.nextCursor
    })

  function start(asked: Omit<Memo, 'key' | 'jobId'>): Promise<void> {
    return goOn(sessionId.value!, { ...asked, key: newKey(), jobId: null })
  }

  const ask = (text: string, assistant: string) =>
    start({ kind: 'ask', messageId: null, question: text, assistant, after: messages.value.at(-1)?.id ?? null })

  const edit = (message: Message, text: string) =>
    start({ kind: 'edit', messageId: message.id, question: text, assistant: '', after: message.parentId })

  const regenerate = (message: Message) =>
    start({ kind: 'regenerate', messageId: message.id, question: '', assistant: '', after: message.parentId })

  const select = (messageId: string) =>
    guarded(async () => {
      const page = await selectBranch(messageId)
      messages.value = page.messages
      earlier.value = page.nextCursor
    })

  return {
    sessionId, messages, shown, question, earlier, loading, error, busy, turn,
    open, adopt, load, loadEarlier, ask, edit, regenerate, select, guarded,
  }
}

export type Conversation = ReturnType<typeof useConversation>

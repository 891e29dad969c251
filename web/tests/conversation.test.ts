import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { RunningJob } from '@/api/chat'
import { useConversation } from '@/composables/conversation'
import { keepMemo, memoOf } from '@/lib/memo'
import type { Memo } from '@/lib/memo'
import { events, json, serve } from './support'
import type { Answer } from './support'

const DONE = () => events([1, 'done', { status: 'succeeded' }])
const STOPPED = () => events([1, 'done', { status: 'cancelled' }])
const FAILED = () => events([1, 'error', { code: 'UPSTREAM_ERROR', message: 'Try later' }])

beforeEach(() => localStorage.clear())
afterEach(() => vi.unstubAllGlobals())

/** The question and the answer of a job. */
function turnOf(jobId: string, parentId: string | null) {
  const user = { id: `${jobId}:user`, role: 'USER', content: jobId, parentId, siblings: [] }
  return [user, { ...user, id: `${jobId}:assistant`, role: 'ASSISTANT', parentId: user.id }]
}
const BEFORE = turnOf('j0', null)

/** A session as it is read first, second and so on, and how the answers of its jobs end. */
function serveSession(reads: [messages: unknown[], running: RunningJob | null][], ends: Record<string, Answer>) {
  const rest = [...reads]
  const routes = Object.entries(ends).map(([job, answer]) => [`GET /api/chat/jobs/${job}/events`, answer] as const)
  return serve({
    ...Object.fromEntries(routes),
    'GET /api/chat/sessions/s1': () => {
      const [messages, runningJob] = rest.length > 1 ? rest.shift()! : rest[0]!
      return json({ session: { messages, runningJob }, nextCursor: null })
    },
  })
}

function remembered(memo: Partial<Memo>): Memo {
  const kept: Memo = {
    key: 'k1', kind: 'ask', messageId: null, question: 'why?', assistant: '', after: 'j0:assistant', jobId: 'j1', ...memo,
  }
  keepMemo('s1', kept)
  return kept
}

async function opened() {
  const answered = vi.fn()
  const talk = useConversation(answered)
  await talk.open('s1')
  return { talk, answered, ids: () => talk.shown.value.map((message) => message.id) }
}

describe('a session that is opened', () => {
  it('goes on with an answer that was asked for elsewhere, and with the next', async () => {
    const [first, second] = [{ jobId: 'j1', question: 'one' }, { jobId: 'j2', question: 'two' }]
    const between = [...BEFORE, ...turnOf('j1', 'j0:assistant')]
    const after = [...between, ...turnOf('j2', 'j1:assistant')]
    const { calls } = serveSession([[BEFORE, first], [between, second], [after, null]], { j1: DONE, j2: DONE })
    const { talk, answered, ids } = await opened()
    expect(ids()).toEqual(after.map((message) => message.id))
    expect([talk.turn.state.value, answered.mock.calls.length]).toEqual(['none', 2])
    expect(calls.filter((call) => call.endsWith('events'))).toHaveLength(2)
  })

  it('shows once what ended while it was read', async () => {
    const { calls } = serveSession([[turnOf('j1', null), { jobId: 'j1', question: 'one' }]], {})
    const { talk, ids } = await opened()
    expect([ids(), talk.turn.state.value]).toEqual([['j1:user', 'j1:assistant'], 'none'])
    expect(calls).toHaveLength(1)
  })

  it.each([['fails', FAILED, 'failed'], ['is stopped', STOPPED, 'stopped']])(
    'keeps all its messages in sight when a branch that was begun elsewhere %s',
    async (_how, end, state) => {
      serveSession([[BEFORE, { jobId: 'j1', question: 'another one', parentId: null }], [BEFORE, null]], { j1: end })
      const { talk, ids } = await opened()
      expect([talk.turn.state.value, talk.question.value]).toEqual([state, 'another one'])
      expect(ids()).toEqual(['j0:user', 'j0:assistant'])
    },
  )

  it('goes on with what is being answered, though this browser remembers something older', async () => {
    remembered({ jobId: 'j1' })
    const between = [...BEFORE, ...turnOf('j1', 'j0:assistant')]
    const after = [...between, ...turnOf('j2', 'j1:assistant')]
    const { calls } = serveSession([[between, { jobId: 'j2', question: 'two' }], [after, null]], { j2: DONE })
    const { ids } = await opened()
    expect(calls).toContain('GET /api/chat/jobs/j2/events')
    expect(ids()).toHaveLength(6)
    expect(memoOf('s1')).toBeNull()
  })

  it('says nothing more of a question that failed and was followed by others', async () => {
    remembered({ jobId: 'j1' })
    const { calls } = serveSession([[[...BEFORE, ...turnOf('j2', 'j0:assistant')], null]], { j1: FAILED })
    const { talk, ids } = await opened()
    expect([talk.turn.state.value, ids().length, calls.length, memoOf('s1')]).toEqual(['none', 4, 1, null])
  })

  it('says that the last question failed', async () => {
    remembered({ jobId: 'j1' })
    serveSession([[BEFORE, null]], { j1: FAILED })
    const { talk } = await opened()
    expect([talk.turn.state.value, talk.question.value]).toEqual(['failed', 'why?'])
  })

  it('offers to read it again, not to ask again, if it can’t be read when the answer has come', async () => {
    serve({
      'POST /api/chat': () => json({ jobId: 'j1' }, 202),
      'GET /api/chat/jobs/j1/events': DONE,
      'GET /api/chat/sessions/s1': () => json({ code: 'RATE_LIMITED', error: 'No' }, 429),
    })
    const talk = useConversation(() => undefined)
    talk.adopt('s1')
    await talk.ask('why?', '')
    expect([talk.turn.state.value, talk.error.value?.code]).toEqual(['none', 'RATE_LIMITED'])
  })

  it('is left without following what comes next', async () => {
    const { calls } = serveSession([[BEFORE, { jobId: 'j1', question: 'one' }]], { j1: () => new Promise(() => undefined) })
    const talk = useConversation(() => undefined)
    void talk.open('s1')
    await vi.waitFor(() => expect(talk.turn.state.value).toBe('running'))
    talk.turn.leave()
    await new Promise((resolve) => setTimeout(resolve))
    expect([talk.turn.state.value, calls.length]).toEqual(['none', 2])
  })
})

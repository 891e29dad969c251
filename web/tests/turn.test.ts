import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { forgetTokens, keepTokens } from '@/api/tokens'
import { useTurn } from '@/composables/turn'
import { spareSession, takeDraft } from '@/lib/draft'
import { keepMemo, memoOf, memoOfJob } from '@/lib/memo'
import type { Memo } from '@/lib/memo'
import { REPLY, events, json, logIn, serve } from './support'

const ASKED: Memo = {
  key: 'k1', kind: 'ask', messageId: null, question: 'why?', assistant: 'chat', after: null, jobId: null,
}
const DONE = { status: 'succeeded' }
const accepted = () => json({ jobId: 'j1' }, 202)

beforeEach(() => localStorage.clear())
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('a turn', () => {
  it('sends a question once and shows its answer', async () => {
    const ended = vi.fn(async () => undefined)
    const { requests } = serve({
      'POST /api/chat': accepted,
      'GET /api/chat/jobs/j1/events': () => events([2, 'chunk', { content: 'So' }], [3, 'done', DONE]),
    })
    const turn = useTurn(ended)
    await turn.run('s1', ASKED)
    expect(requests[0]?.headers.get('Idempotency-Key')).toBe('k1')
    expect(await requests[0]?.json()).toMatchObject({ message: 'why?', sessionId: 's1', stream: true })
    expect(ended).toHaveBeenCalledWith('s1')
    expect(turn.state.value).toBe('none')
    expect(memoOf('s1')).toBeNull()
  })

  it('goes on where it was when the connection breaks off', async () => {
    vi.useFakeTimers()
    const asked: string[] = []
    const streams = [events([2, 'chunk', { content: 'So' }]), events([4, 'chunk', { content: '!!' }], [5, 'done', DONE])]
    let shown = ''
    serve({
      'POST /api/chat': accepted,
      'GET /api/chat/jobs/j1/events': (request) => {
        asked.push(new URL(request.url).searchParams.get('after') ?? '')
        return streams.shift()!
      },
    })
    const turn = useTurn(async () => {
      shown = turn.text.value
    })
    const running = turn.run('s1', ASKED)
    await vi.runAllTimersAsync()
    await running
    expect(asked).toEqual(['0', '2'])
    expect(shown).toBe('So!!')
  })

  it('is taken up after a reload without asking again', async () => {
    const { calls } = serve({ 'GET /api/chat/jobs/j1/events': () => events([3, 'done', DONE]) })
    await useTurn(async () => undefined).run('s1', { ...ASKED, jobId: 'j1' })
    expect(calls).toEqual(['GET /api/chat/jobs/j1/events'])
  })

  it('is sent again under the same key while it is not known whether it arrived', async () => {
    serve({})
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect(turn.state.value).toBe('failed')
    expect(memoOf('s1')?.key).toBe('k1')
    const { requests } = serve({
      'POST /api/chat': accepted,
      'GET /api/chat/jobs/j1/events': () => events([1, 'done', DONE]),
    })
    await turn.retry()
    expect(requests[0]?.headers.get('Idempotency-Key')).toBe('k1')
    expect(turn.state.value).toBe('none')
  })

  it('is sent again under the same key after an outage, and under another one after that', async () => {
    const failing = { 'POST /api/chat': () => json({ code: 'UNAVAILABLE', error: 'Away' }, 503) }
    serve(failing)
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect(memoOf('s1')?.key).toBe('k1')
    const { requests } = serve({
      'POST /api/chat': accepted,
      'GET /api/chat/jobs/j1/events': () => events([1, 'error', { code: 'UPSTREAM_ERROR', message: 'Try later' }]),
    })
    await turn.retry()
    await turn.retry()
    const keys = requests.filter((each) => each.method === 'POST').map((each) => each.headers.get('Idempotency-Key'))
    expect(keys[0]).toBe('k1')
    expect(keys[1]).not.toBe('k1')
  })

  it('that can’t be paid for is kept to be sent after paying', async () => {
    serve({ 'POST /api/chat': () => json({ code: 'INSUFFICIENT_TOKENS', error: 'No' }, 402) })
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect(takeDraft()).toBe('why?')
    expect(takeDraft()).toBe('')
    expect(spareSession()).toBe('s1')
  })

  it('tells a refusal, and asks under another key then', async () => {
    const { requests } = serve({ 'POST /api/chat': () => json({ code: 'INSUFFICIENT_TOKENS', error: 'No' }, 402) })
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect(turn.error.value?.needsMoney).toBe(true)
    expect(memoOf('s1')).toBeNull()
    await turn.retry()
    expect(requests[1]?.headers.get('Idempotency-Key')).not.toBe('k1')
  })

  it('tells a failure of the model', async () => {
    serve({
      'POST /api/chat': accepted,
      'GET /api/chat/jobs/j1/events': () => events([1, 'error', { code: 'UPSTREAM_ERROR', message: 'Try later' }]),
    })
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect([turn.state.value, turn.error.value?.hint]).toEqual(['failed', 'Try later'])
  })

  it('leaves no question behind for who logs in while it is being sent', async () => {
    logIn()
    let take = (): void => undefined
    serve({
      'POST /api/chat': () => new Promise((resolve) => (take = () => resolve(accepted()))),
      'GET /api/chat/jobs/j1/events': () => events([1, 'done', DONE]),
    })
    const turn = useTurn(async () => undefined)
    const running = turn.run('s1', ASKED)
    await vi.waitFor(() => expect(memoOf('s1')?.question).toBe('why?'))
    turn.leave()
    forgetTokens()
    keepTokens({ ...REPLY, userId: 'somebody else' } as never)
    take()
    await running
    expect(memoOf('s1')).toBeNull()
  })

  it('forgets no question of another tab when its own is refused or ends', async () => {
    const other = { ...ASKED, key: 'k2', jobId: 'j2' }
    keepMemo('s1', other)
    serve({ 'POST /api/chat': () => json({ code: 'JOB_RUNNING', error: 'No' }, 409) })
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect([turn.state.value, memoOf('s1')]).toEqual(['failed', other])
    serve({ 'GET /api/chat/jobs/j1/events': () => events([1, 'done', DONE]) })
    await turn.run('s1', { ...ASKED, jobId: 'j1' })
    keepMemo('s1', other)
    serve({ 'GET /api/chat/jobs/j3/events': () => events([1, 'done', DONE]) })
    await turn.run('s1', memoOfJob({ jobId: 'j3', question: null }, null))
    expect(memoOf('s1')).toEqual(other)
  })

  it('that was stopped before its first word can be asked again', async () => {
    serve({
      'POST /api/chat': accepted,
      'GET /api/chat/jobs/j1/events': () => events([1, 'done', { status: 'cancelled' }]),
    })
    const turn = useTurn(async () => undefined)
    await turn.run('s1', ASKED)
    expect(turn.state.value).toBe('stopped')
    expect(turn.memo.value?.question).toBe('why?')
  })

  it('that was begun elsewhere is followed, and never asked again', async () => {
    const { calls } = serve({
      'GET /api/chat/jobs/j9/events': () => events([2, 'chunk', { content: 'So' }], [3, 'error', { code: 'X', message: 'No' }]),
    })
    const turn = useTurn(async () => undefined)
    await turn.run('s1', memoOfJob({ jobId: 'j9', question: 'why not?' }, null))
    expect([turn.state.value, turn.text.value, memoOf('s1')]).toEqual(['failed', 'So', null])
    expect([turn.memo.value?.question, turn.memo.value?.after]).toEqual(['why not?', null])
    await turn.retry()
    expect(calls).toEqual(['GET /api/chat/jobs/j9/events'])
  })

  it('that somebody left goes on when they come back', async () => {
    serve({ 'POST /api/chat': accepted, 'GET /api/chat/jobs/j1/events': () => new Promise(() => undefined) })
    const turn = useTurn(async () => undefined)
    void turn.run('s1', ASKED)
    await vi.waitFor(() => expect(turn.state.value).toBe('running'))
    turn.leave()
    expect(memoOf('s1')?.jobId).toBe('j1')
    expect(turn.state.value).toBe('none')
  })
})

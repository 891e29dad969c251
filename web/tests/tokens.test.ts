import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { REPLY, json, logIn, serve, tokenRefused } from './support'

beforeEach(() => {
  vi.resetModules()
  localStorage.clear()
  sessionStorage.clear()
})
afterEach(() => vi.unstubAllGlobals())

async function client() {
  return import('@/api/client')
}

describe('a call to the API', () => {
  it('sends the token that this tab has', async () => {
    logIn()
    const { requests } = serve({ 'GET /api/x': () => json({}) })
    await (await client()).authorizedFetch('/api/x')
    expect(requests[0]?.headers.get('Authorization')).toBe('Bearer access-1')
  })

  it('renews an old token once for all calls that wait for it', async () => {
    logIn(1000)
    const { calls, requests } = serve({ 'POST /api/auth/refresh': () => json(REPLY), 'GET /api/x': () => json({}) })
    const { authorizedFetch } = await client()
    await Promise.all([authorizedFetch('/api/x'), authorizedFetch('/api/x'), authorizedFetch('/api/x')])
    expect(calls.filter((call) => call === 'POST /api/auth/refresh')).toHaveLength(1)
    expect(requests.at(-1)?.headers.get('Authorization')).toBe('Bearer access-2')
    expect(localStorage.getItem('talkmeter.refresh')).toBe('refresh-2')
  })

  it('renews a token that the server refuses, and asks once more with the same body', async () => {
    logIn()
    const bodies: string[] = []
    serve({
      'POST /api/auth/refresh': () => json(REPLY),
      'POST /api/x': async (request) => {
        bodies.push(await request.text())
        return request.headers.get('Authorization') === 'Bearer access-2' ? json({}) : tokenRefused()
      },
    })
    const response = await (await client()).authorizedFetch('/api/x', { method: 'POST', body: 'hello' })
    expect(response.status).toBe(200)
    expect(bodies).toEqual(['hello', 'hello'])
  })

  it('is not made twice with a wrong password', async () => {
    logIn()
    const { calls } = serve({ 'POST /api/x': () => json({ code: 'BAD_CREDENTIALS' }, 401) })
    expect((await (await client()).authorizedFetch('/api/x', { method: 'POST' })).status).toBe(401)
    expect(calls).toEqual(['POST /api/x'])
  })

  it('ends the login when the refresh token is refused, with what was remembered of questions', async () => {
    logIn(1000)
    localStorage.setItem('talkmeter.job.s1', '{}')
    serve({ 'POST /api/auth/refresh': () => json({ code: 'UNAUTHORIZED' }, 401), 'GET /api/x': () => json({}, 401) })
    const { onLogout } = await import('@/api/tokens')
    const ended = vi.fn()
    onLogout(ended)
    await (await client()).authorizedFetch('/api/x')
    expect(ended).toHaveBeenCalledOnce()
    expect(localStorage).toHaveLength(0)
  })

  it('keeps the login when the server is away', async () => {
    logIn(1000)
    serve({})
    await expect((await client()).authorizedFetch('/api/x')).rejects.toMatchObject({ code: 'NETWORK' })
    expect(localStorage.getItem('talkmeter.refresh')).toBe('refresh-1')
  })

  it('fails with what the server says', async () => {
    serve({ 'GET /api/billing': () => json({ code: 'NO_CREDITS', error: 'No', message: 'Pay', required: 1 }, 402) })
    const { api, unwrap } = await client()
    await expect(unwrap(api.GET('/api/billing'))).rejects.toMatchObject({
      status: 402, code: 'NO_CREDITS', title: 'No', hint: 'Pay', needsMoney: true, body: { required: 1 },
    })
  })
})

describe('another tab', () => {
  /** Logs in there; this tab is told of it as browsers do. */
  function logInElsewhere(userId: string): void {
    localStorage.setItem('talkmeter.account', userId)
    localStorage.setItem('talkmeter.refresh', 'elsewhere-1')
    dispatchEvent(new StorageEvent('storage', { key: 'talkmeter.refresh', oldValue: 'refresh-1', newValue: 'elsewhere-1' }))
  }

  async function tab() {
    const { onReplaced, onLogout } = await import('@/api/tokens')
    const [replaced, ended] = [vi.fn(), vi.fn()]
    onReplaced(replaced)
    onLogout(ended)
    return { ...(await client()), replaced, ended }
  }

  it('that logs in as somebody else ends this one: nothing is asked in their name', async () => {
    logIn()
    const { authorizedFetch, replaced } = await tab()
    const { calls } = serve({ 'POST /api/x': () => json({}), 'POST /api/auth/refresh': () => json({ ...REPLY, userId: 'other' }) })
    logInElsewhere('other')
    expect(replaced).toHaveBeenCalledOnce()
    await expect(authorizedFetch('/api/x', { method: 'POST' })).rejects.toMatchObject({ code: 'LOGIN_REPLACED' })
    expect(calls).toEqual([])
    expect(localStorage.getItem('talkmeter.refresh')).toBe('elsewhere-1')
  })

  it('that renews the tokens of the same account is no other login', async () => {
    logIn()
    const { authorizedFetch, replaced } = await tab()
    serve({ 'GET /api/x': () => json({}) })
    logInElsewhere('u')
    expect((await authorizedFetch('/api/x')).status).toBe(200)
    expect(replaced).not.toHaveBeenCalled()
  })

  it('is not logged out by a renewal that was under way here, nor replaced by it', async () => {
    for (const answer of [json(REPLY), json({ code: 'UNAUTHORIZED' }, 401)]) {
      vi.resetModules()
      logIn(1000)
      const { authorizedFetch, replaced, ended } = await tab()
      let first = true
      serve({
        'GET /api/x': () => json({}),
        'POST /api/auth/refresh': () => {
          if (!first) return json({ ...REPLY, refresh_token: 'elsewhere-2', userId: 'other' })
          first = false
          localStorage.setItem('talkmeter.account', 'other')
          localStorage.setItem('talkmeter.refresh', 'elsewhere-1')
          return answer
        },
      })
      await expect(authorizedFetch('/api/x')).rejects.toMatchObject({ code: 'LOGIN_REPLACED' })
      expect(localStorage.getItem('talkmeter.refresh')).toBe('elsewhere-2')
      expect(replaced).toHaveBeenCalledOnce()
      expect(ended).not.toHaveBeenCalled()
    }
  })

  it('that logs out takes the draft of this one with it', async () => {
    logIn()
    sessionStorage.setItem('talkmeter.draft', 'private')
    const { ended } = await tab()
    localStorage.removeItem('talkmeter.refresh')
    dispatchEvent(new StorageEvent('storage', { key: 'talkmeter.refresh', oldValue: 'refresh-1', newValue: null }))
    expect(ended).toHaveBeenCalledOnce()
    expect(sessionStorage).toHaveLength(0)
  })

  it('that logged in while this page was closed is who is here when it opens again', async () => {
    logIn()
    sessionStorage.setItem('talkmeter.draft', 'private')
    localStorage.setItem('talkmeter.account', 'other')
    const { authorizedFetch } = await tab()
    const { requests } = serve({ 'GET /api/x': () => json({}), 'POST /api/auth/refresh': () => json({ ...REPLY, userId: 'other' }) })
    await authorizedFetch('/api/x')
    expect(requests.at(-1)?.headers.get('Authorization')).toBe('Bearer access-2')
    expect(sessionStorage.getItem('talkmeter.draft')).toBeNull()
  })
})

it('a login as somebody else leaves no questions of who was here before', async () => {
  const { keepTokens } = await import('@/api/tokens')
  keepTokens({ ...REPLY, userId: 'guest' } as never)
  localStorage.setItem('talkmeter.job.s1', '{}')
  sessionStorage.setItem('talkmeter.draft', 'private')
  keepTokens({ ...REPLY, userId: 'guest' } as never)
  expect(localStorage.getItem('talkmeter.job.s1')).toBe('{}')
  keepTokens({ ...REPLY, userId: 'anna' } as never)
  expect(localStorage.getItem('talkmeter.job.s1')).toBeNull()
  expect(sessionStorage.getItem('talkmeter.draft')).toBeNull()
})

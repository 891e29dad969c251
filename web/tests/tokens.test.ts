import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { REPLY, json, logIn, serve } from './support'

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
        return request.headers.get('Authorization') === 'Bearer access-2' ? json({}) : json({ code: 'TOKEN_EXPIRED' }, 401)
      },
    })
    const response = await (await client()).authorizedFetch('/api/x', { method: 'POST', body: 'hello' })
    expect(response.status).toBe(200)
    expect(bodies).toEqual(['hello', 'hello'])
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

/**
 * The tokens of a login, and their renewal: one at a time, in all tabs together.
 *
 * A refresh token works once, and using one twice ends the login. So it is kept where all tabs see the newest one
 * (localStorage), and only one tab at a time may use it (Web Locks). It also lets people find themselves logged in
 * tomorrow and in a second tab. The access token is this tab's (sessionStorage, not memory alone), because otherwise
 * each reload would spend a refresh token, and one whose answer is cut off by a second reload would end the login. What
 * could read either is a script in our page: the content security policy lets none in but our own.
 */
import { dropDraft } from '@/lib/draft'
import { dropAllMemos } from '@/lib/memo'
import { errorOf, networkError } from './errors'
import { language } from './language'
import type { components } from './schema'

export type TokenReply = components['schemas']['TokenReply']

const REFRESH = 'talkmeter.refresh'
const ACCESS = 'talkmeter.access'
const LOCK = 'talkmeter.refresh'
/** A token that ends sooner is renewed before it is used. */
const EARLY_MS = 30_000

interface Access {
  token: string
  expiresAt: number
}

let access: Access | null = readAccess()
let renewal: Promise<string | null> | null = null
const listeners = new Set<() => void>()

function readAccess(): Access | null {
  try {
    return JSON.parse(sessionStorage.getItem(ACCESS) ?? 'null') as Access | null
  } catch {
    return null
  }
}

export function hasLogin(): boolean {
  return localStorage.getItem(REFRESH) !== null
}

/** Calls back when the login ends without this tab asking for it. */
export function onLogout(listener: () => void): void {
  listeners.add(listener)
}

export function keepTokens(reply: TokenReply): void {
  access = { token: reply.token, expiresAt: Date.now() + reply.expires_in * 1000 }
  sessionStorage.setItem(ACCESS, JSON.stringify(access))
  localStorage.setItem(REFRESH, reply.refresh_token)
}

export function forgetTokens(): void {
  access = null
  sessionStorage.removeItem(ACCESS)
  localStorage.removeItem(REFRESH)
  dropAllMemos()
  dropDraft()
}

/** A token to send, or null for nobody. `refused` is one that the server no longer takes. */
export async function accessToken(refused?: string): Promise<string | null> {
  if (!hasLogin()) return null
  if (access && access.token !== refused && access.expiresAt - EARLY_MS > Date.now()) return access.token
  renewal ??= exclusively(renew).finally(() => {
    renewal = null
  })
  return renewal
}

function exclusively<T>(work: () => Promise<T>): Promise<T> {
  // Web Locks are there on https and on localhost.
  return navigator.locks ? (navigator.locks.request(LOCK, work) as Promise<T>) : work()
}

async function renew(): Promise<string | null> {
  // Read inside the lock: another tab may have renewed it meanwhile.
  const refreshToken = localStorage.getItem(REFRESH)
  if (refreshToken === null) return null
  let response: Response
  try {
    response = await fetch('/api/auth/refresh', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Accept-Language': language() },
      body: JSON.stringify({ refreshToken }),
      keepalive: true,
    })
  } catch {
    throw networkError()
  }
  if (response.ok) {
    const reply = (await response.json()) as TokenReply
    keepTokens(reply)
    return reply.token
  }
  if (response.status === 401 || response.status === 403) {
    forgetTokens()
    for (const listener of listeners) listener()
    return null
  }
  throw await errorOf(response)
}

if (typeof window !== 'undefined') {
  // Another tab logged out, or in as somebody else: what this tab has is not the login any more.
  window.addEventListener('storage', (event) => {
    if (event.key === REFRESH && event.newValue === null) {
      access = null
      sessionStorage.removeItem(ACCESS)
      for (const listener of listeners) listener()
    }
  })
}

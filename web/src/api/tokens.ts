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
import { ApiError, errorOf, networkError } from './errors'
import { language } from './language'
import type { components } from './schema'

export type TokenReply = components['schemas']['TokenReply']

const REFRESH = 'talkmeter.refresh'
/** Whose login it is. */
const OWNER = 'talkmeter.account'
const ACCESS = 'talkmeter.access'
const LOCK = 'talkmeter.refresh'
/** A token that ends sooner is renewed before it is used. */
const EARLY_MS = 30_000

interface Access {
  token: string
  expiresAt: number
  userId: string
}

let access: Access | null = readAccess()
let renewal: Promise<string | null> | null = null
const logoutListeners = new Set<() => void>()
const replacedListeners = new Set<() => void>()

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

/** Whose login it is that all tabs share. */
export const loginId = () => localStorage.getItem(OWNER)

/** Calls back when the login ends without this tab asking for it. */
export function onLogout(listener: () => void): void {
  logoutListeners.add(listener)
}

/** Calls back when another tab has logged in as somebody else: what this tab shows is not theirs. */
export function onReplaced(listener: () => void): void {
  replacedListeners.add(listener)
}

/** Whether the login that all tabs share is somebody else's than this tab's. */
const isReplaced = () => access !== null && hasLogin() && access.userId !== loginId()

export function keepTokens(reply: TokenReply): void {
  if (loginId() !== reply.userId) forgetQuestions()
  access = { token: reply.token, expiresAt: Date.now() + reply.expires_in * 1000, userId: reply.userId }
  sessionStorage.setItem(ACCESS, JSON.stringify(access))
  // Before the token, whose change is what other tabs are told of.
  localStorage.setItem(OWNER, reply.userId)
  localStorage.setItem(REFRESH, reply.refresh_token)
}

export function forgetTokens(): void {
  forgetAccess()
  localStorage.removeItem(REFRESH)
  localStorage.removeItem(OWNER)
  forgetQuestions()
}

function forgetAccess(): void {
  access = null
  sessionStorage.removeItem(ACCESS)
}

/** Questions are private: none stays behind for who comes next. */
function forgetQuestions(): void {
  dropAllMemos()
  dropDraft()
}

/**
 * A token to send, or null for nobody. `refused` is one that the server no longer takes. Throws `ApiError`, also if the
 * login is somebody else's by now: what was begun by one account is not done by another.
 */
export async function accessToken(refused?: string): Promise<string | null> {
  if (!hasLogin()) return null
  const mine = access?.userId
  const token = isReplaced() ? null : await currentToken(refused)
  if (mine === undefined || access === null || (access.userId === mine && !isReplaced())) return token
  for (const listener of replacedListeners) listener()
  throw new ApiError(409, 'LOGIN_REPLACED', '', '')
}

async function currentToken(refused?: string): Promise<string | null> {
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
  const reply = response.ok ? ((await response.json()) as TokenReply) : null
  // Somebody logged in or out meanwhile, here or in another tab: their login is not to be replaced by the old one.
  if (localStorage.getItem(REFRESH) !== refreshToken) return renew()
  if (reply) {
    keepTokens(reply)
    return reply.token
  }
  if (response.status === 401 || response.status === 403) {
    forgetTokens()
    for (const listener of logoutListeners) listener()
    return null
  }
  throw await errorOf(response)
}

if (typeof window !== 'undefined') {
  // This page begins anew: what its tab had of somebody else is over.
  if (isReplaced()) {
    forgetAccess()
    dropDraft()
  }
  // Another tab logged out, or in as somebody else: what this tab has is not the login any more.
  window.addEventListener('storage', (event) => {
    if (event.key !== REFRESH) return
    if (event.newValue === null) {
      forgetAccess()
      dropDraft()
      for (const listener of logoutListeners) listener()
    } else if (isReplaced()) {
      for (const listener of replacedListeners) listener()
    }
  })
}

/** Who is logged in. */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { api, unwrap } from '@/api/client'
import { isApiError } from '@/api/errors'
import type { components } from '@/api/schema'
import { forgetTokens, hasLogin, keepTokens, onLogout } from '@/api/tokens'

export type Me = components['schemas']['Me']
type NewAccount = components['schemas']['NewAccount']
type Locale = components['schemas']['Guest']['locale']

export const useAuth = defineStore('auth', () => {
  const me = ref<Me | null>(null)
  const isLoggedIn = computed(() => me.value !== null)
  // An account without a name of its own and with an end.
  const isGuest = computed(() => me.value !== null && me.value.expiresAt !== null)
  const isStaff = computed(() => me.value?.role === 'admin' || me.value?.role === 'support')
  const name = computed(() => me.value?.first_name || me.value?.username || me.value?.email || '')

  /** Whether the login ended without being asked to here. */
  const hasEnded = ref(false)

  onLogout(() => {
    hasEnded.value = true
    me.value = null
  })

  /** Finds out who has logged in here before. Throws `ApiError` if the server can't say. */
  async function restore(): Promise<void> {
    if (!hasLogin()) return
    try {
      me.value = await unwrap(api.GET('/api/auth/me'))
    } catch (error) {
      if (!isApiError(error) || error.status !== 401) throw error
      forgetTokens()
    }
  }

  async function enter(reply: Promise<components['schemas']['TokenReply']>): Promise<void> {
    const tokens = await reply
    // Nothing of who was here before is shown to who is here now, even if that can't be read yet.
    if (me.value?.userId !== tokens.userId) me.value = null
    keepTokens(tokens)
    hasEnded.value = false
    me.value = await unwrap(api.GET('/api/auth/me'))
  }

  const login = (username: string, password: string) =>
    enter(unwrap(api.POST('/api/auth/login', { body: { username, password } as never })))

  /** A guest who registers keeps dialogs and balance. */
  const register = (account: NewAccount) => enter(unwrap(api.POST('/api/auth/register', { body: account })))

  const guest = (locale: Locale) => enter(unwrap(api.POST('/api/auth/guest-login', { body: { locale } })))

  const changePassword = (currentPassword: string, newPassword: string) =>
    enter(unwrap(api.POST('/api/auth/password', { body: { currentPassword, newPassword } })))

  async function logout(everywhere: boolean): Promise<void> {
    try {
      await unwrap(api.POST('/api/auth/logout', { body: { everywhere } }))
    } catch (error) {
      // Somebody whose login is over already is logged out all the same.
      if (!isApiError(error) || error.status !== 401) throw error
    }
    forgetTokens()
    me.value = null
  }

  return { me, name, hasEnded, isLoggedIn, isGuest, isStaff, restore, login, register, guest, changePassword, logout }
})

/** What the tests of the operators' pages share. */
import { createPinia, setActivePinia } from 'pinia'
import { beforeAll, beforeEach } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { keepTokens } from '@/api/tokens'
import { addAdminTexts } from '@/i18n/admin'
import { useLocale } from '@/i18n'
import { useAuth } from '@/stores/auth'
import { REPLY } from './support'

export const EVIL = '<img src=x onerror=alert(1)>'
export const ID = '0123456789abcdef0123456789abcdef'

const empty = { template: '<p></p>' }

export const router = () =>
  createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/', name: 'list', component: empty },
      { path: '/users/:userId', name: 'admin-user', component: empty },
    ],
  })

export function be(role: string): void {
  useAuth().me = { userId: 'me', role, expiresAt: null } as never
}

/** Each test of a file begins with a login, nothing remembered, and the texts in Russian. */
export function eachLoggedIn(): void {
  beforeAll(async () => {
    await useLocale('ru')
    await addAdminTexts()
  })
  beforeEach(() => {
    setActivePinia(createPinia())
    localStorage.clear()
    sessionStorage.clear()
    keepTokens(REPLY as never)
  })
}

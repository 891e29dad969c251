/** What the tests of the operators' pages share. */
import { createMemoryHistory, createRouter } from 'vue-router'
import { useAuth } from '@/stores/auth'

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

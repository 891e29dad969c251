/** The pages. Their first steps are in `service/api/ui.py` too, which answers them all with this one page. */
import { nextTick } from 'vue'
import { createRouter, createWebHistory } from 'vue-router'
import type { Router, RouteRecordRaw } from 'vue-router'
import { adminRoute } from './adminRoutes'
import { hasLogin } from './api/tokens'
import { i18n } from './i18n'
import ChatPage from './pages/ChatPage.vue'
import { useAuth } from './stores/auth'

declare module 'vue-router' {
  interface RouteMeta {
    /** For everybody; other pages are for those who are logged in. */
    open?: boolean
    /** For operators alone. */
    staff?: boolean
    /** The key of its title. */
    title: string
  }
}

export const routes: RouteRecordRaw[] = [
  { path: '/', redirect: '/chat' },
  { path: '/chat/:sessionId?', name: 'chat', component: ChatPage, props: true, meta: { title: 'app.chat' } },
  {
    path: '/login',
    name: 'login',
    component: () => import('./pages/LoginPage.vue'),
    meta: { title: 'auth.loginTitle', open: true },
  },
  {
    path: '/register',
    name: 'register',
    component: () => import('./pages/RegisterPage.vue'),
    meta: { title: 'auth.registerTitle', open: true },
  },
  {
    path: '/balance',
    name: 'balance',
    component: () => import('./pages/BalancePage.vue'),
    meta: { title: 'app.balance' },
  },
  { path: '/usage', name: 'usage', component: () => import('./pages/UsagePage.vue'), meta: { title: 'app.usage' } },
  {
    path: '/account',
    name: 'account',
    component: () => import('./pages/AccountPage.vue'),
    meta: { title: 'app.account' },
  },
  { path: '/keys', name: 'keys', component: () => import('./pages/KeysPage.vue'), meta: { title: 'app.keys' } },
  {
    path: '/webhooks',
    name: 'webhooks',
    component: () => import('./pages/WebhooksPage.vue'),
    meta: { title: 'app.webhooks' },
  },
  adminRoute,
  // The first of the two that any address matches; the second is gone to by its name.
  {
    path: '/:rest(.*)*',
    name: 'missing',
    component: () => import('./pages/MissingPage.vue'),
    meta: { title: 'app.notFound', open: true },
  },
  {
    path: '/:rest(.*)*',
    name: 'forbidden',
    component: () => import('./pages/ForbiddenPage.vue'),
    meta: { title: 'app.forbidden' },
  },
]

export function createUiRouter(): Router {
  const router = createRouter({ history: createWebHistory(), routes })

  router.beforeEach((to) => {
    const auth = useAuth()
    // The address stays, so that a reload asks again.
    if (to.meta.staff && auth.isLoggedIn && !auth.isStaff) {
      return { name: 'forbidden', params: { rest: to.path.slice(1).split('/') }, replace: true }
    }
    // Somebody whose tokens are there but whose account could not be read yet is not sent away.
    if (to.meta.open || auth.isLoggedIn || hasLogin()) return true
    return { name: 'login', query: to.fullPath === '/chat' ? {} : { next: to.fullPath } }
  })

  router.afterEach((to, from) => {
    document.title = `${i18n.global.t(to.meta.title)} · Talkmeter`
    // For keyboards and screen readers a new page begins at its heading.
    if (from.matched.length > 0 && to.name !== from.name) void nextTick(focusHeading)
  })
  return router
}

function focusHeading(): void {
  const heading = document.querySelector<HTMLElement>('main h1')
  if (!heading || document.activeElement?.matches('main input, main textarea')) return
  heading.tabIndex = -1
  heading.focus({ preventScroll: true })
}

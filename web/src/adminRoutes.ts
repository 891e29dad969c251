/** The operators' pages; all of them, with their texts, are loaded when one is opened. */
import type { RouteRecordRaw } from 'vue-router'

/** What can be seen of an account, in the order of its tabs. */
export const USER_SECTIONS = ['ledger', 'dialogs', 'jobs', 'keys', 'payments', 'deliveries', 'audit'] as const

async function layout() {
  const [page] = await Promise.all([
    import('./pages/admin/AdminLayout.vue'),
    import('./i18n/admin').then(({ addAdminTexts }) => addAdminTexts()),
  ])
  return page
}

export const adminRoute: RouteRecordRaw = {
  path: '/admin',
  component: layout,
  meta: { title: 'app.admin', staff: true },
  children: [
    {
      path: '',
      name: 'admin',
      component: () => import('./pages/admin/AdminOverviewPage.vue'),
      meta: { title: 'admin.nav.overview' },
    },
    {
      path: 'users',
      name: 'admin-users',
      component: () => import('./pages/admin/AdminUsersPage.vue'),
      meta: { title: 'admin.nav.users' },
    },
    {
      path: `users/:userId/:section(${USER_SECTIONS.join('|')})?`,
      name: 'admin-user',
      component: () => import('./pages/admin/AdminUserPage.vue'),
      props: true,
      meta: { title: 'admin.user.title' },
    },
    {
      path: 'jobs',
      name: 'admin-jobs',
      component: () => import('./pages/admin/AdminJobsPage.vue'),
      meta: { title: 'admin.nav.jobs' },
    },
    {
      path: 'payments',
      name: 'admin-payments',
      component: () => import('./pages/admin/AdminPaymentsPage.vue'),
      meta: { title: 'admin.nav.payments' },
    },
    {
      path: 'codes',
      name: 'admin-codes',
      component: () => import('./pages/admin/AdminCodesPage.vue'),
      meta: { title: 'admin.nav.codes' },
    },
    {
      path: 'keys',
      name: 'admin-keys',
      component: () => import('./pages/admin/AdminKeysPage.vue'),
      meta: { title: 'admin.nav.keys' },
    },
    {
      path: 'deliveries',
      name: 'admin-deliveries',
      component: () => import('./pages/admin/AdminDeliveriesPage.vue'),
      meta: { title: 'admin.nav.deliveries' },
    },
    {
      path: 'models/:alias?',
      name: 'admin-models',
      component: () => import('./pages/admin/AdminModelsPage.vue'),
      props: true,
      meta: { title: 'admin.nav.models' },
    },
    {
      path: 'assistants/:assistantId?',
      name: 'admin-assistants',
      component: () => import('./pages/admin/AdminAssistantsPage.vue'),
      props: true,
      meta: { title: 'admin.nav.assistants' },
    },
    {
      path: 'audit',
      name: 'admin-audit',
      component: () => import('./pages/admin/AdminAuditPage.vue'),
      meta: { title: 'admin.nav.audit' },
    },
  ],
}

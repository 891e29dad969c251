import 'bootstrap/dist/css/bootstrap.min.css'
import 'bootstrap-vue-next/dist/bootstrap-vue-next.css'
import './style.css'
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import App from './App.vue'
import { onReplaced } from './api/tokens'
import { i18n, preferredLocale, useLocale } from './i18n'
import { createUiRouter } from './router'
import { useAuth } from './stores/auth'
import { useTheme } from './stores/theme'

const RELOADED = 'talkmeter.reloaded'
const ONCE_IN_MS = 60_000

// A page of a version that is not served any more: the new one is a reload away, but a server that is away is not.
window.addEventListener('vite:preloadError', () => {
  if (Date.now() - Number(sessionStorage.getItem(RELOADED)) < ONCE_IN_MS) return
  sessionStorage.setItem(RELOADED, String(Date.now()))
  location.reload()
})

// Another tab logged in as somebody else: everything is theirs from now on.
onReplaced(() => location.reload())

async function start(): Promise<void> {
  const app = createApp(App).use(createPinia()).use(i18n)
  useTheme()
  // A server that is away is told by the pages themselves.
  await Promise.all([useLocale(preferredLocale()), useAuth().restore().catch(() => undefined)])
  app.use(createUiRouter()).mount('#app')
}

void start()

import 'bootstrap/dist/css/bootstrap.min.css'
import 'bootstrap-vue-next/dist/bootstrap-vue-next.css'
import './style.css'
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import App from './App.vue'
import { i18n, preferredLocale, useLocale } from './i18n'
import { createUiRouter } from './router'
import { useAuth } from './stores/auth'
import { useTheme } from './stores/theme'

async function start(): Promise<void> {
  const app = createApp(App).use(createPinia()).use(i18n)
  useTheme()
  // A server that is away is told by the pages themselves.
  await Promise.all([useLocale(preferredLocale()), useAuth().restore().catch(() => undefined)])
  app.use(createUiRouter()).mount('#app')
}

void start()

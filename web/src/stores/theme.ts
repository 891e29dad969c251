/** Light or dark: as the system has it until somebody chooses. */
import { defineStore } from 'pinia'
import { computed, ref, watchEffect } from 'vue'

const KEY = 'talkmeter.theme'
const THEMES = ['auto', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

export const useTheme = defineStore('theme', () => {
  const system = window.matchMedia('(prefers-color-scheme: dark)')
  const systemIsDark = ref(system.matches)
  system.addEventListener('change', (event) => {
    systemIsDark.value = event.matches
  })

  const stored = localStorage.getItem(KEY) as Theme | null
  const theme = ref<Theme>(stored && THEMES.includes(stored) ? stored : 'auto')
  const isDark = computed(() => theme.value === 'dark' || (theme.value === 'auto' && systemIsDark.value))

  watchEffect(() => {
    document.documentElement.dataset.bsTheme = isDark.value ? 'dark' : 'light'
  })

  function choose(next: Theme): void {
    theme.value = next
    localStorage.setItem(KEY, next)
  }

  return { theme, isDark, choose, themes: THEMES }
})

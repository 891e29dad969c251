/** The languages of the UI. Only the one in use is loaded. */
import { createI18n } from 'vue-i18n'
import { speak } from '@/api/language'
import type { Messages } from './ru'

export const LOCALES = { ru: 'Русский', en: 'English', fr: 'Français' } as const
export type Locale = keyof typeof LOCALES

const KEY = 'talkmeter.locale'
const loaders: Record<Locale, () => Promise<{ default: Messages }>> = {
  ru: () => import('./ru'),
  en: () => import('./en'),
  fr: () => import('./fr'),
}

/** Which form of a Russian noun goes with a number: one | few | many. */
export function russianForm(count: number, forms: number): number {
  const tens = Math.abs(count) % 100
  const ones = tens % 10
  if (forms < 3) return count === 1 ? 0 : forms - 1
  if (tens > 10 && tens < 20) return 2
  if (ones === 1) return 0
  return ones >= 2 && ones <= 4 ? 1 : 2
}

export const i18n = createI18n({
  legacy: false,
  locale: 'ru' as Locale,
  messages: {} as Record<Locale, Messages>,
  pluralRules: {
    ru: russianForm,
    en: (count: number) => (count === 1 ? 0 : 1),
    fr: (count: number) => (Math.abs(count) < 2 ? 0 : 1),
  },
})

export function isLocale(name: string | null | undefined): name is Locale {
  return name !== null && name !== undefined && name in LOCALES
}

/** What was chosen here before, else the browser's first language that we have, else Russian. */
export function preferredLocale(): Locale {
  const chosen = localStorage.getItem(KEY)
  if (isLocale(chosen)) return chosen
  return navigator.languages.map((language) => language.slice(0, 2)).find(isLocale) ?? 'ru'
}

type Part = (locale: Locale) => Promise<object>
const parts = new Set<Part>()

/** Texts of a part of the UI that is loaded when it is opened. From then on they follow the language. */
export async function addTexts(part: Part): Promise<void> {
  parts.add(part)
  const locale = i18n.global.locale.value as Locale
  i18n.global.mergeLocaleMessage(locale, await part(locale))
}

export async function useLocale(locale: Locale): Promise<void> {
  const [messages, ...more] = await Promise.all([loaders[locale](), ...[...parts].map((part) => part(locale))])
  i18n.global.setLocaleMessage(locale, Object.assign({}, messages.default, ...more) as Messages)
  i18n.global.locale.value = locale
  document.documentElement.lang = locale
  speak(locale)
}

/** Also for the next visit. */
export async function rememberLocale(locale: Locale): Promise<void> {
  localStorage.setItem(KEY, locale)
  await useLocale(locale)
}

/** The texts of the operators' pages, loaded with them. */
import { addTexts } from '..'
import type { Locale } from '..'
import type { AdminMessages } from './ru'

const loaders: Record<Locale, () => Promise<{ default: AdminMessages }>> = {
  ru: () => import('./ru'),
  en: () => import('./en'),
  fr: () => import('./fr'),
}

const texts = async (locale: Locale) => ({ admin: (await loaders[locale]()).default })

export const addAdminTexts = () => addTexts(texts)

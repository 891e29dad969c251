import { useI18n } from 'vue-i18n'

/** Numbers, times and money as the reader's language writes them. */
export function useFormat() {
  const { locale, t } = useI18n()

  const number = (value: number) => new Intl.NumberFormat(locale.value).format(value)
  const date = (value: string | Date) =>
    new Intl.DateTimeFormat(locale.value, { dateStyle: 'medium' }).format(new Date(value))
  const time = (value: string | Date) =>
    new Intl.DateTimeFormat(locale.value, { timeStyle: 'short' }).format(new Date(value))
  const dateTime = (value: string | Date) =>
    new Intl.DateTimeFormat(locale.value, { dateStyle: 'short', timeStyle: 'short' }).format(new Date(value))
  const price = (amount: string | number, currency: string) =>
    new Intl.NumberFormat(locale.value, { style: 'currency', currency }).format(Number(amount))
  /** "5 токенов". */
  const tokens = (count: number) => t('money.tokens', { n: number(count) }, count)
  const credits = (count: number | null) =>
    count === null ? t('money.unlimited') : t('money.credits', { n: number(count) }, count)
  const signed = (value: number) => new Intl.NumberFormat(locale.value, { signDisplay: 'exceptZero' }).format(value)

  return { number, date, time, dateTime, price, tokens, credits, signed }
}

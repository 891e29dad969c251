import { useI18n } from 'vue-i18n'

/** Numbers, times and money as the reader's language writes them. */
export function useFormat() {
  const { locale, t } = useI18n()

  const number = (value: number) => new Intl.NumberFormat(locale.value).format(value)
  const date = (value: string | Date) =>
    new Intl.DateTimeFormat(locale.value, { dateStyle: 'medium' }).format(new Date(value))
  const time = (value: string | Date) =>
    new Intl.DateTimeFormat(locale.value, { timeStyle: 'short' }).format(new Date(value))
  // A year that is the present one goes without saying.
  const year = (value: string | Date) => (new Date(value).getFullYear() === new Date().getFullYear() ? {} : { year: 'numeric' as const })
  const day = (value: string | Date) =>
    new Intl.DateTimeFormat(locale.value, { day: 'numeric', month: 'short', ...year(value) })
      .format(new Date(value))
      .replaceAll(' ', '\u00a0')
  const dateTime = (value: string | Date) => `${day(value)}, ${time(value)}`
  const price = (amount: string | number, currency: string) =>
    new Intl.NumberFormat(locale.value, { style: 'currency', currency }).format(Number(amount))
  /** "5 токенов". */
  const tokens = (count: number) => t('money.tokens', { n: number(count) }, count)
  const credits = (count: number | null) =>
    count === null ? t('money.unlimited') : t('money.credits', { n: number(count) }, count)
  const signed = (value: number) => new Intl.NumberFormat(locale.value, { signDisplay: 'exceptZero' }).format(value)

  return { number, date, day, time, dateTime, price, tokens, credits, signed }
}

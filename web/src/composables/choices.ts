import { useI18n } from 'vue-i18n'

/** Choices of a filter: each with its text, after "all". */
export function useChoices() {
  const { t } = useI18n()
  const choices = (values: readonly string[], text: (value: string) => string) => [
    { value: '', text: t('admin.all') },
    ...values.map((value) => ({ value, text: text(value) })),
  ]
  return { choices }
}

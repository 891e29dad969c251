/** A webhook's request in another receiver's words: names of fields and texts with `{placeholders}`. */
export interface TemplateRow {
  id: number
  name: string
  text: string
}

export interface Template {
  method: string
  body: string
  fields: Record<string, string>
}

export const METHODS = ['POST', 'PUT', 'PATCH'] as const
export const BODIES = ['json', 'form'] as const
/** What `PLACEHOLDERS` of `service/usecases/webhook_messages.py` are, in the order of their use; a test compares them. */
export const PLACEHOLDERS = [
  'text', 'message', 'status', 'event', 'eventId', 'jobId', 'userId', 'model', 'finishReason', 'tokensUsed', 'charged',
  'currentBalance', 'errorCode', 'errorText', 'createdAt', 'finishedAt',
] as const

/** The fields as the API takes them; the rows without a name are left out. */
export function fieldsOf(rows: TemplateRow[]): Record<string, string> {
  return Object.fromEntries(rows.filter((row) => row.name.trim()).map((row) => [row.name.trim(), row.text]))
}

/** Names that stand twice, of which only one would be sent. */
export function doubles(rows: TemplateRow[]): string[] {
  const names = rows.map((row) => row.name.trim()).filter(Boolean)
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))]
}

/** What a test has to say of the question that it stands for: the names in `metadata` that the receiver is told. */
export function metadataNames(format: string, template: Template | null): string[] {
  if (format === 'botboom') return ['chatId']
  if (format !== 'template' || !template) return []
  const found = Object.values(template.fields).flatMap((text) => [...text.matchAll(/\{metadata\.([A-Za-z0-9_]+)\}/g)])
  return [...new Set(found.map((match) => match[1]!))]
}

/** Who answers in plain text, and what an answer costs. */
export const ASSISTANTS = [
  { id: 'chat', price: 'chat.perToken' },
  { id: 'tutor', price: 'chat.perToken' },
  { id: 'bizlevel', price: 'chat.free' },
  { id: 'coach', price: 'chat.perAnswer' },
] as const

const KEY = 'talkmeter.assistant'

export function chosenAssistant(): string {
  const chosen = localStorage.getItem(KEY)
  return ASSISTANTS.find((each) => each.id === chosen)?.id ?? ASSISTANTS[0].id
}

export function rememberAssistant(id: string): void {
  localStorage.setItem(KEY, id)
}

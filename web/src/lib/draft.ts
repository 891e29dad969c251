/** A question that was not taken and should not have to be typed again, as after paying on a page of somebody else. */
const KEY = 'talkmeter.draft'

export function keepDraft(question: string): void {
  sessionStorage.setItem(KEY, question)
}

export function dropDraft(): void {
  sessionStorage.removeItem(KEY)
}

/** What was kept, which is kept no longer. */
export function takeDraft(): string {
  const kept = sessionStorage.getItem(KEY) ?? ''
  dropDraft()
  return kept
}

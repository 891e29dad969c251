/** The language in which the server says what went wrong, where the account has chosen none. */
let chosen = 'ru'

export function speak(locale: string): void {
  chosen = locale
}

export const language = (): string => chosen

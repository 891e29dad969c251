export interface Column {
  /** Its slot's name, and what the API sorts by. */
  key: string
  label: string
  /** Numbers stand at the end. */
  end?: boolean
  sortable?: boolean
  /** Needs no label where a row is a card: buttons. */
  bare?: boolean
}

/** What is open on the page of a scan: at most one document at a time. */

export interface Opened {
  id: number;
  name: string;
}

export class ScanView {
  document = $state.raw<Opened | null>(null);

  constructor(
    readonly scan: number,
    readonly release: string,
  ) {}

  open = (id: number, name: string): void => {
    this.document = { id, name };
  };

  close = (): void => {
    this.document = null;
  };
}

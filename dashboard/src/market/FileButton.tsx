import { useRef } from "preact/hooks";

interface Props {
  name: string;
  accept: string;
  disabled: boolean;
  take: (text: string) => void;
}

/** A button that asks for a file and gives its text. */
export function FileButton({ name, accept, disabled, take }: Props) {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" disabled={disabled} aria-describedby="reason" onClick={() => field.current?.click()}>
        {name}
      </button>
      <input
        ref={field}
        type="file"
        hidden
        accept={accept}
        onChange={async ({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file) take(await file.text());
          currentTarget.value = ""; // the same file may be chosen again
        }}
      />
    </>
  );
}

// Prints an event stream as soon as the built-in fetch of Node.js hands its bytes on.
const response = await fetch(process.argv[2]);
if (response.ok) {
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) process.stdout.write(part);
} else {
  process.stdout.write(`status: ${response.status}\n`);
}

// Prints a line and logs a warning, as functions for aws-lambda-ric do.

export async function handler(event) {
  process.stdout.write("printed\n");
  console.warn("logged");
  return event;
}

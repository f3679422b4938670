import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What every client's function does; here for the Java runtime interface client. */
public class Function implements RequestStreamHandler {
    private static final Pattern ACTION = Pattern.compile("\\A\\{\"do\": \"([a-z ]+)\"(?:, \"(?:depth|bytes)\": (\\d+))?");

    @Override
    public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
        byte[] event = input.readAllBytes();
        Matcher asked = ACTION.matcher(new String(event, 0, Math.min(event.length, 100), StandardCharsets.UTF_8));
        String action = asked.find() ? asked.group(1) : "";
        switch (action) {
            case "trace" -> output.write(trace(event, context).getBytes(StandardCharsets.UTF_8));
            case "fail" -> fail(Integer.parseInt(asked.group(2)));
            case "crash" -> Runtime.getRuntime().halt(3);
            case "large" -> output.write("x".repeat(Integer.parseInt(asked.group(2))).getBytes(StandardCharsets.UTF_8));
            default -> output.write(event);
        }
    }

    /** Every place where the trace can be found. */
    private static String trace(byte[] event, Context context) {
        return "{\"environment\": " + quoted(System.getenv("_X_AMZN_TRACE_ID"))
                + ", \"property\": " + quoted(System.getProperty("com.amazonaws.xray.traceHeader"))
                + ", \"context\": " + quoted(context.getXrayTraceId())
                + ", \"custom\": " + quoted(context.getClientContext().getCustom().get("traceparent"))
                + ", \"event\": " + new String(event, StandardCharsets.UTF_8) + "}";
    }

    private static String quoted(String text) {
        return text == null ? "null" : "\"" + text + "\"";
    }

    private static void fail(int depth) {
        if (depth > 0) {
            fail(depth - 1);
            return;
        }
        throw new IllegalStateException("it broke");
    }
}

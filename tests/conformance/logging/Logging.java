import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Prints a line and logs a warning, as functions for the Java runtime interface client do. */
public class Logging implements RequestStreamHandler {
    @Override
    public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
        System.out.println("printed");
        context.getLogger().log("logged", LogLevel.WARN);
        input.transferTo(output);
    }
}

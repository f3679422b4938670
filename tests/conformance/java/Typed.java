import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyRequestEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyResponseEvent;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;

/** A function that takes events as objects, for the wrappers of OpenTelemetry's library that know their classes. */
public class Typed {
    public APIGatewayProxyResponseEvent http(APIGatewayProxyRequestEvent event, Context context) {
        return new APIGatewayProxyResponseEvent().withStatusCode(200).withBody(event.getPath());
    }

    public void sqs(SQSEvent event, Context context) {
        System.out.println(event.getRecords().size());
    }
}

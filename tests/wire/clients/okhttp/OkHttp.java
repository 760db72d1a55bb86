// Prints each event of an event stream that okhttp reads, as one line of JSON.
import java.time.Duration;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSource;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;

public class OkHttp extends EventSourceListener {
    public static void main(String[] arguments) {
        // The default limit, 10 s, is shorter than the server's heartbeat interval.
        var client = new OkHttpClient.Builder().readTimeout(Duration.ZERO).build();
        var request = new Request.Builder().url(arguments[0]).build();
        EventSources.createFactory(client).newEventSource(request, new OkHttp());
    }

    @Override
    public void onEvent(EventSource source, String id, String type, String data) {
        var name = type == null ? "message" : type;
        System.out.printf("{\"name\":\"%s\",\"id\":\"%s\",\"data\":%s}%n", name, id == null ? "" : id, data);
    }

    @Override
    public void onClosed(EventSource source) {
        System.exit(0);
    }

    @Override
    public void onFailure(EventSource source, Throwable error, Response response) {
        System.out.println("status: " + (response == null ? 0 : response.code()));
        System.exit(0);
    }
}

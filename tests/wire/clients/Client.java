// Prints each line of an event stream as soon as the HTTP client of Java hands the line on.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Client {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        var response = HttpClient.newHttpClient().send(request, BodyHandlers.ofLines());
        if (response.statusCode() != 200) {
            System.out.println("status: " + response.statusCode());
            return;
        }
        response.body().forEach(System.out::println);
    }
}

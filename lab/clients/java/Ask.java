import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * Makes the HTTP requests that stdin asks for, with `HttpURLConnection`, `HttpClient` (its default:
 * it offers an upgrade to HTTP/2) or `HttpClient expectContinue`. The protocol: ../routes.py.
 */
public class Ask {
  static final ObjectMapper JSON = new ObjectMapper();
  static final HttpClient CLIENT = HttpClient.newHttpClient();

  interface Way {
    ObjectNode ask(JsonNode asked, URI uri) throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    var way =
        switch (arguments[0]) {
          case "HttpURLConnection" -> (Way) Ask::byUrlConnection;
          case "HttpClient" -> (Way) (asked, uri) -> byClient(asked, uri, false);
          case "HttpClient expectContinue" -> (Way) (asked, uri) -> byClient(asked, uri, true);
          default -> throw new IllegalArgumentException(arguments[0]);
        };
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (var line = lines.readLine(); line != null; line = lines.readLine()) {
      var asked = JSON.readTree(line);
      var uri =
          URI.create("http://" + System.getenv("PRODUCER_HTTP_ADDR") + asked.get("path").asText());
      ObjectNode answer;
      try {
        answer = way.ask(asked, uri);
      } catch (Exception problem) {
        answer = JSON.createObjectNode().put("error", problem.toString());
      }
      answers.println(answer);
    }
    System.exit(0);
  }

  static ObjectNode byUrlConnection(JsonNode asked, URI uri) throws Exception {
    var connection = (HttpURLConnection) uri.toURL().openConnection();
    connection.setRequestMethod(asked.get("method").asText());
    for (var header : asked.get("headers").properties()) {
      connection.setRequestProperty(header.getKey(), header.getValue().asText());
    }
    if (!asked.get("body").isNull()) {
      connection.setDoOutput(true);
      try (var out = connection.getOutputStream()) {
        out.write(asked.get("body").asText().getBytes(StandardCharsets.UTF_8));
      }
    }
    var status = connection.getResponseCode();
    var body = status < 400 ? connection.getInputStream() : connection.getErrorStream();
    return answer(status, connection.getHeaderFields(), read(body));
  }

  static byte[] read(InputStream body) throws Exception {
    if (body == null) {
      return new byte[0];
    }
    try (body) {
      return body.readAllBytes();
    }
  }

  static ObjectNode byClient(JsonNode asked, URI uri, boolean expectContinue) throws Exception {
    var body =
        asked.get("body").isNull()
            ? BodyPublishers.noBody()
            : BodyPublishers.ofString(asked.get("body").asText());
    var request =
        HttpRequest.newBuilder(uri)
            .method(asked.get("method").asText(), body)
            .timeout(Duration.ofSeconds(20));
    for (var header : asked.get("headers").properties()) {
      request.header(header.getKey(), header.getValue().asText());
    }
    if (expectContinue && !asked.get("body").isNull()) {
      request.expectContinue(true);
    }
    var response = CLIENT.send(request.build(), BodyHandlers.ofByteArray());
    return answer(response.statusCode(), response.headers().map(), response.body());
  }

  static ObjectNode answer(int status, Map<String, List<String>> headers, byte[] body) {
    var answer = JSON.createObjectNode().put("status", status);
    var all = answer.putObject("headers");
    headers.forEach(
        (name, values) -> {
          // HttpURLConnection has the status line under no name.
          if (name != null) {
            all.put(name.toLowerCase(), values.get(0));
          }
        });
    return answer.put("body", new String(body, StandardCharsets.UTF_8));
  }
}

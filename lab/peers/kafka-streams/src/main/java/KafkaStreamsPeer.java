import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;

/**
 * The processor's work as a Kafka Streams application: order statuses in JSON become vouchers in JSON by
 * the processor's default rule, exactly once. The vouchers are those of the processor to the byte, keys
 * and headers included; `bench beside-streams` compares them. As Kafka Streams does by default, it ends
 * at the first record that it cannot read.
 */
public final class KafkaStreamsPeer {
  private static final String HELP =
      """
      Usage: java -jar kafka-streams-peer.jar PRESET

      Turns sent orders into vouchers with Kafka Streams, to be measured beside checkout's processor.

      Presets:
        default  Kafka Streams' own settings
        tuned    2 threads, a commit each second, larger batches

      Environment, as of `processor run`; all are required:
        KAFKA_BOOTSTRAP_SERVERS  host:port of each broker, separated by commas
        ORDER_STATUS_TOPIC       The topic that is read
        VOUCHERS_TOPIC           The topic that is written
        PROCESSOR_GROUP          The application's id, which is its consumer group
        VOUCHER_SIGNING_KEY      Base64 of at least 32 bytes
        HTTP_ADDR                host:port on which /readyz answers 200 while records are processed
      """;

  private static final Map<String, Map<String, Object>> PRESETS =
      Map.of(
          "default",
          Map.of(),
          "tuned",
          Map.of(
              StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2,
              StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000,
              StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000,
              StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000,
              StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20,
              StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10));

  private static final String CAMPAIGN = "order-reward";
  private static final BigDecimal MIN_TOTAL = new BigDecimal("100.00");
  private static final String AMOUNT = "5.00";
  private static final String CURRENCY = "EUR";

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_ENUMS)
          .build();

  private KafkaStreamsPeer() {}

  public static void main(String[] arguments) throws Exception {
    var preset = arguments.length == 1 ? PRESETS.get(arguments[0]) : null;
    if (preset == null) {
      var asked = Arrays.asList(arguments).contains("--help");
      (asked ? System.out : System.err).print(HELP);
      System.exit(asked ? 0 : 2);
    }
    var settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("PROCESSOR_GROUP"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("KAFKA_BOOTSTRAP_SERVERS"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.putAll(preset);
    var topology =
        topology(
            setting("ORDER_STATUS_TOPIC"),
            setting("VOUCHERS_TOPIC"),
            Base64.getDecoder().decode(setting("VOUCHER_SIGNING_KEY")));
    var failed = new CountDownLatch(1);
    var streams = new KafkaStreams(topology, settings);
    streams.setUncaughtExceptionHandler(
        problem -> {
          problem.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR) {
            failed.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(15))));
    serveReadiness(streams, setting("HTTP_ADDR"));
    streams.start();
    failed.await();
    System.exit(1);
  }

  private static String setting(String name) {
    var value = System.getenv(name);
    if (value == null || value.isEmpty()) {
      System.err.println("error: " + name + " is not set");
      System.exit(2);
    }
    return value;
  }

  private static void serveReadiness(KafkaStreams streams, String address) throws IOException {
    var colon = address.lastIndexOf(':');
    var port = Integer.parseInt(address.substring(colon + 1));
    var server = HttpServer.create(new InetSocketAddress(address.substring(0, colon), port), 0);
    server.createContext(
        "/readyz",
        exchange -> {
          var isReady = streams.state() == KafkaStreams.State.RUNNING;
          exchange.sendResponseHeaders(isReady ? 200 : 503, -1);
          exchange.close();
        });
    server.start();
  }

  /** Returns the flow of the records: read, decide, write. */
  static Topology topology(String orders, String vouchers, byte[] signingKey) {
    var builder = new StreamsBuilder();
    builder.stream(orders, Consumed.with(Serdes.String(), json(OrderStatus.class)))
        .processValues(() -> new Issuer(signingKey))
        .to(vouchers, Produced.with(Serdes.String(), json(Voucher.class)));
    return builder.build();
  }

  private static <T> Serde<T> json(Class<T> type) {
    var writer = JSON.writerFor(type);
    var reader = JSON.readerFor(type);
    return Serdes.serdeFrom(
        (topic, value) -> {
          try {
            return writer.writeValueAsBytes(value);
          } catch (JsonProcessingException problem) {
            throw new SerializationException(problem);
          }
        },
        (topic, bytes) -> {
          try {
            return bytes == null ? null : reader.<T>readValue(bytes);
          } catch (IOException problem) {
            throw new SerializationException(problem);
          }
        });
  }

  enum Status {
    PENDING,
    SENT,
    DELIVERED,
    CANCELLED
  }

  /** An order's state after one change, as far as the rule reads it. */
  record OrderStatus(
      @JsonProperty("order_id") String orderId,
      Status status,
      BigDecimal total,
      String currency,
      @JsonProperty("occurred_at") String occurredAt,
      @JsonProperty("sent_at") String sentAt) {

    /** Returns when the order was sent, or null if this record does not say that it was. */
    Instant sentAt(long recordMillis) {
      return switch (status) {
        case PENDING -> null;
        case SENT -> sentAt != null
            ? Instant.parse(sentAt)
            : occurredAt != null ? Instant.parse(occurredAt) : Instant.ofEpochMilli(recordMillis);
        case DELIVERED, CANCELLED -> sentAt != null ? Instant.parse(sentAt) : null;
      };
    }

    boolean isWorthAVoucher() {
      return (currency == null || currency.equals(CURRENCY)) && total.compareTo(MIN_TOTAL) >= 0;
    }
  }

  /** A voucher, with its fields in the order in which they are written. */
  record Voucher(
      String campaign,
      @JsonProperty("order_id") String orderId,
      String code,
      String amount,
      String currency,
      @JsonProperty("issued_at") String issuedAt,
      @JsonProperty("expires_at") String expiresAt) {}

  /** Issues the voucher of each eligible order. */
  static final class Issuer extends ContextualFixedKeyProcessor<String, OrderStatus, Voucher> {
    private final Signer signer;
    private final byte[] rule = fingerprint();

    Issuer(byte[] signingKey) {
      signer = new Signer(signingKey);
    }

    @Override
    public void process(FixedKeyRecord<String, OrderStatus> record) {
      var order = record.value();
      if (order == null) {
        return;
      }
      var id = record.key();
      if (!order.orderId().equals(id)) {
        throw new SerializationException("the key is " + id + ", the value's is " + order.orderId());
      }
      var sentAt = order.sentAt(record.timestamp());
      if (sentAt == null || !order.isWorthAVoucher()) {
        return;
      }
      var voucher =
          new Voucher(CAMPAIGN, id, signer.code(id), AMOUNT, CURRENCY, sentAt.toString(), null);
      var source = context().recordMetadata().orElseThrow();
      var issued = record.withValue(voucher);
      issued
          .headers()
          .add("source.topic", utf8(source.topic()))
          .add("source.partition", utf8(Integer.toString(source.partition())))
          .add("source.offset", utf8(Long.toString(source.offset())))
          .add("voucher.rule", rule)
          .add("voucher.key-id", signer.id);
      context().forward(issued);
    }

    /** As `Rule::fingerprint` in processor/src/rule.rs. */
    private static byte[] fingerprint() {
      var amount = new BigDecimal(AMOUNT).stripTrailingZeros().toPlainString();
      var text = String.join("\0", "rule/1", CAMPAIGN, amount, CURRENCY, "-");
      try {
        return hex(MessageDigest.getInstance("SHA-256").digest(utf8(text)), 8);
      } catch (GeneralSecurityException problem) {
        throw new IllegalStateException(problem);
      }
    }
  }

  /** Derives the codes, as processor/src/code.rs describes it. One thread may use it. */
  static final class Signer {
    private static final String ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    private static final int SYMBOLS = 15;
    private static final byte[] PREFIX = utf8("voucher/1\0" + CAMPAIGN + "\0");

    private final Mac mac;
    final byte[] id;

    Signer(byte[] key) {
      try {
        mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
      } catch (GeneralSecurityException problem) {
        throw new IllegalStateException(problem);
      }
      id = hex(mac.doFinal(utf8("key-id")), 4);
    }

    String code(String orderId) {
      mac.update(PREFIX);
      var bytes = mac.doFinal(utf8(orderId));
      var code = new StringBuilder();
      var sum = 0;
      for (var index = 0; index < SYMBOLS; index++) {
        var first = index * 5;
        var pair = (bytes[first / 8] & 0xff) << 8 | bytes[first / 8 + 1] & 0xff;
        var symbol = pair >> (11 - first % 8) & 31;
        code.append(ALPHABET.charAt(symbol));
        if (index % 4 == 3) {
          code.append('-');
        }
        // Luhn: every second symbol from the right is doubled, the last one among them.
        var addend = index % 2 == 0 ? symbol * 2 : symbol;
        sum += addend / 32 + addend % 32;
      }
      return code.append(ALPHABET.charAt((32 - sum % 32) % 32)).toString();
    }
  }

  private static byte[] hex(byte[] bytes, int count) {
    return utf8(HexFormat.of().formatHex(bytes, 0, count));
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}

// The Java side: Apache Avro's own encoder and decoder, with the framing of the registry's serializers.
//
//   Peer write SCHEMA ID N        prints N records, one a line, in hexadecimal
//   Peer read SCHEMA              reads such lines, prints the records as Java shows them

import java.io.*;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.HexFormat;
import org.apache.avro.Schema;
import org.apache.avro.generic.*;
import org.apache.avro.io.*;

public class Peer {
    public static void main(String[] args) throws Exception {
        Schema schema = new Schema.Parser().parse(Files.readString(Path.of(args[1])));
        if (args[0].equals("write")) {
            for (int n = 0; n < Integer.parseInt(args[3]); n++) {
                GenericRecord order = new GenericData.Record(schema);
                order.put("id", (long) n);
                order.put("user", "user " + n);
                order.put("price", n * 0.5);
                order.put("note", n % 2 == 0 ? null : "note " + n);
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                out.write(0);
                out.write(ByteBuffer.allocate(4).putInt(Integer.parseInt(args[2])).array());
                BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
                new GenericDatumWriter<GenericRecord>(schema).write(order, encoder);
                encoder.flush();
                System.out.println(HexFormat.of().formatHex(out.toByteArray()));
            }
        } else {
            BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
            for (String line; (line = lines.readLine()) != null;) {
                byte[] bytes = HexFormat.of().parseHex(line);
                BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(bytes, 5, bytes.length - 5, null);
                Object order = new GenericDatumReader<Object>(schema).read(null, decoder);
                if (!decoder.isEnd()) throw new IOException("bytes are left");
                System.out.println(ByteBuffer.wrap(bytes, 1, 4).getInt() + " " + order);
            }
        }
    }
}

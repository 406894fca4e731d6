// The Java side of Protobuf: Google's own encoder and decoder, behind the bytes that the registry's serializers write.
//
//   ProtobufPeer write SET MESSAGE PREFIX     reads messages in JSON, one a line; prints the records in hexadecimal, behind these bytes
//   ProtobufPeer read SET MESSAGE LENGTH      reads such lines, prints the messages in JSON; so many bytes are before them
//
// SET is a file with a descriptor set.

import com.google.protobuf.*;
import com.google.protobuf.util.JsonFormat;
import java.io.*;
import java.nio.file.*;
import java.util.*;

public class ProtobufPeer {
    static final Map<String, Descriptors.FileDescriptor> built = new HashMap<>();

    static Descriptors.FileDescriptor build(Map<String, DescriptorProtos.FileDescriptorProto> files, String name) throws Exception {
        if (built.containsKey(name)) return built.get(name);
        DescriptorProtos.FileDescriptorProto file = files.get(name);
        List<Descriptors.FileDescriptor> imports = new ArrayList<>();
        for (String other : file.getDependencyList()) imports.add(build(files, other));
        built.put(name, Descriptors.FileDescriptor.buildFrom(file, imports.toArray(new Descriptors.FileDescriptor[0])));
        return built.get(name);
    }

    public static void main(String[] args) throws Exception {
        Map<String, DescriptorProtos.FileDescriptorProto> files = new LinkedHashMap<>();
        byte[] set = Files.readAllBytes(Path.of(args[1]));
        for (DescriptorProtos.FileDescriptorProto file : DescriptorProtos.FileDescriptorSet.parseFrom(set).getFileList())
            files.put(file.getName(), file);
        Descriptors.Descriptor message = null;
        for (String name : files.keySet())
            for (Descriptors.Descriptor found : build(files, name).getMessageTypes())
                if (found.getFullName().equals(args[2])) message = found;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line; (line = lines.readLine()) != null;) {
            if (args[0].equals("write")) {
                DynamicMessage.Builder builder = DynamicMessage.newBuilder(message);
                JsonFormat.parser().merge(line, builder);
                System.out.println(args[3] + HexFormat.of().formatHex(builder.build().toByteArray()));
            } else {
                byte[] bytes = HexFormat.of().parseHex(line);
                int start = Integer.parseInt(args[3]);
                byte[] body = Arrays.copyOfRange(bytes, start, bytes.length);
                System.out.println(JsonFormat.printer().omittingInsignificantWhitespace().print(DynamicMessage.parseFrom(message, body)));
            }
        }
    }
}

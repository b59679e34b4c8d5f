import Hardware

/// Hard disk images, whatever their format; it is found by content, not by name.
public enum DiskImage {
    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public static func open(path: String, access: MediaAccess) throws(MediaError) -> any Medium {
        let file = try HostFile(path: path, writable: access == .readWrite)
        let image: any Medium
        switch foreignFormat(file) {
        case "VDI": image = try VDIImage(file)
        case let format?: throw .formatNotSupported(path: path, format: format)
        case nil: image = try RawImage(file)
        }
        return access == .disposable ? try DisposableLayer(over: image) : image
    }

    /// The name of a format that is not raw, by its signature: the first bytes, VDI's at 0x40, a fixed VHD's footer in the last 512 bytes.
    static func foreignFormat(_ file: HostFile) -> String? {
        let head = file.peek(0, count: 512)
        let starts: [(String, [UInt8])] = [
            ("qcow2", [0x51, 0x46, 0x49, 0xFB]),
            ("VMDK", Array("KDMV".utf8)),
            ("VMDK", Array("COWD".utf8)),
            ("VMDK", Array("# Disk DescriptorFile".utf8)),
            ("VHD", Array("conectix".utf8)),
            ("VHDX", Array("vhdxfile".utf8)),
        ]
        if let match = starts.first(where: { head.starts(with: $0.1) }) { return match.0 }
        if head.count >= 0x44, Array(head[0x40..<0x44]) == [0x7F, 0x10, 0xDA, 0xBE] { return "VDI" }
        if file.bytes >= 1024, file.peek(file.bytes - 512, count: 8) == Array("conectix".utf8) { return "VHD" }
        return nil
    }
}

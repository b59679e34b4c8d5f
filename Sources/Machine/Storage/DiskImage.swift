import Hardware

/// Hard disk images, whatever their format; it is found by content, not by name.
public enum DiskImage {
    /// Opens an image with all that it stands on.
    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public static func open(path: String, access: MediaAccess) throws(MediaError) -> any Medium {
        let image = try layer(path: path, writable: access == .readWrite)
        return access == .disposable ? try DisposableLayer(over: image) : image
    }

    /// The same, as what it is.
    /// - Parameter keepsIdentity: what is written does not make the image another one for those that stand on it.
    /// - Throws: `MediaError`; nothing is changed and nothing stays open.
    public static func layer(path: String, writable: Bool, keepsIdentity: Bool = false) throws(MediaError) -> any ImageLayer {
        var chain = DiskChain(keepsIdentity: keepsIdentity)
        do {
            return try chain.open(path, writable: writable)
        } catch {
            // A merge was interrupted and has to be ended first; then it is tried once more.
            guard let target = chain.merging, let outcome = DiskMerge.recover(target: target) else { throw error }
            FileRecorder.current?.note(.mark(outcome))
        }
        chain = DiskChain(keepsIdentity: keepsIdentity)
        return try chain.open(path, writable: writable)
    }

    /// The name of a format that is not raw, by its signature: the first bytes, VDI's at 0x40, a fixed VHD's footer in the last 512 bytes.
    static func foreignFormat(_ file: HostFile) -> String? {
        let head = file.peek(0, count: 512)
        let starts: [(String, [UInt8])] = [
            ("qcow2", QCOW2Header.magic),
            ("VMDK", Array("KDMV".utf8)),
            ("VMDK", Array("COWD".utf8)),
            ("VMDK", Array("# Disk DescriptorFile".utf8)),
            ("VHD", Array("conectix".utf8)),
            ("VHDX", Array("vhdxfile".utf8)),
        ]
        if let match = starts.first(where: { head.starts(with: $0.1) }) { return match.0 }
        if head.count >= 0x44, Array(head[0x40..<0x44]) == VDIHeader.signature { return "VDI" }
        if file.bytes >= 1024, file.peek(file.bytes - 512, count: 8) == Array("conectix".utf8) { return "VHD" }
        return nil
    }
}

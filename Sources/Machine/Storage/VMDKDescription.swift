/// The text that describes a VMDK: what it is made of, and what it stands on.
///
/// Source: VMware *Virtual Disk Format 1.1* (2007): lines of `key=value`, and a line for each extent: access, sectors, type, file, offset.
struct VMDKDescription: Equatable {
    struct Extent: Equatable {
        enum Kind: String { case flat = "FLAT", vmfs = "VMFS", sparse = "SPARSE", zero = "ZERO" }
        var kind: Kind
        var sectors: UInt64
        var file: String
        /// In the file, in sectors.
        var offset: UInt64
        var readOnly: Bool
    }
    static let noParent: UInt32 = 0xFFFF_FFFF
    static let mostBytes = 1 << 20
    /// Files of one image.
    static let mostExtents = 256

    var id: UInt32 = 0
    var parentID = noParent
    var parentPath: String?
    var kind = ""
    var extents: [Extent] = []

    /// - Throws: what is wrong with it.
    init(_ bytes: [UInt8]) throws(ImageProblem) {
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.drop { $0 == " " || $0 == "\t" }
            if line.isEmpty || line.first == "#" { continue }
            if let extent = try VMDKDescription.extent(line) {
                guard extents.count < VMDKDescription.mostExtents else { throw .notSupported("VMDK in more than \(VMDKDescription.mostExtents) files") }
                extents.append(extent)
            } else if let equals = line.firstIndex(of: "=") {
                let key = line[..<equals].filter { $0 != " " }, value = VMDKDescription.unquoted(line[line.index(after: equals)...])
                switch key {
                case "CID": id = UInt32(value, radix: 16) ?? 0
                case "parentCID": parentID = UInt32(value, radix: 16) ?? VMDKDescription.noParent
                case "parentFileNameHint": parentPath = value
                case "createType": kind = value
                default: break
                }
            }
        }
        guard !extents.isEmpty else { throw .damaged("its description names no extents") }
    }

    private static func unquoted(_ text: Substring) -> String {
        let trimmed = text.drop { $0 == " " }
        guard trimmed.first == "\"" else { return String(trimmed.prefix { $0 != " " }) }
        return String(trimmed.dropFirst().prefix { $0 != "\"" })
    }

    /// - Returns: nil: it is no extent's line.
    private static func extent(_ line: Substring) throws(ImageProblem) -> Extent? {
        let access = line.prefix { $0 != " " }
        guard ["RW", "RDONLY", "NOACCESS"].contains(access) else { return nil }
        let words = line.prefix { $0 != "\"" }.split(separator: " ")
        guard words.count >= 3, let sectors = UInt64(words[1]), sectors > 0, sectors <= 1 << 38 else {
            throw .damaged("its description has an extent that makes no sense: \(line.prefix(80))")
        }
        guard let kind = Extent.Kind(rawValue: String(words[2])), access != "NOACCESS" else {
            throw .notSupported("VMDK with extents of type \(words[2].prefix(20))")
        }
        let quoted = line.drop { $0 != "\"" }.dropFirst()
        let file = String(quoted.prefix { $0 != "\"" })
        let rest = quoted.drop { $0 != "\"" }.dropFirst().split(separator: " ")
        let offset = rest.first.flatMap { UInt64($0) } ?? 0
        guard offset <= 1 << 38 else { throw .damaged("its description has an extent at sector \(offset)") }
        guard kind == .zero || !file.isEmpty, !file.contains("/"), file != "..", !file.contains("\0") else {
            throw .damaged("its description names the file '\(file.prefix(80))', which is not in its folder")
        }
        return Extent(kind: kind, sectors: sectors, file: file, offset: offset, readOnly: access == "RDONLY")
    }

    // MARK: Text

    /// Of a new image.
    static func text(
        id: UInt32, kind: String, extents: [String], diskBytes: UInt64, parent: (id: UInt32, path: String)? = nil
    ) -> String {
        let cylinders = min(diskBytes / 512 / (16 * 63), 16383)
        return """
            # Disk DescriptorFile
            version=1
            CID=\(hex(id))
            \(parentLines(parent).joined(separator: "\n"))
            createType="\(kind)"

            # Extent description
            \(extents.joined(separator: "\n"))

            # The Disk Data Base
            #DDB

            ddb.virtualHWVersion = "4"
            ddb.geometry.cylinders = "\(max(1, cylinders))"
            ddb.geometry.heads = "16"
            ddb.geometry.sectors = "63"
            ddb.adapterType = "ide"

            """
    }

    static func hex(_ id: UInt32) -> String {
        let digits = String(id, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// The lines that name the parent. They are padded with a comment, so that what follows stays where it is, and in the first sector, so that
    /// they are there or are not.
    private static func parentLines(_ parent: (id: UInt32, path: String)?) -> [String] {
        let lines = ["parentCID=\(hex(parent?.id ?? noParent))"] + (parent.map { ["parentFileNameHint=\"\($0.path)\""] } ?? [])
        let room = 380 - lines.reduce(0) { $0 + $1.utf8.count + 1 }
        return lines + [padding + String(repeating: " ", count: max(0, room - padding.utf8.count))]
    }
    private static let padding = "#~"

    /// The text with another identity.
    static func text(_ bytes: [UInt8], id: UInt32) -> String { edited(bytes) { $0 == "CID" ? ["CID=\(hex(id))"] : nil } }

    /// The text with another parent.
    static func text(_ bytes: [UInt8], parent: (id: UInt32, path: String)?) -> String {
        edited(bytes) { key in
            if key == "parentCID" { return parentLines(parent) }
            return key == "parentFileNameHint" || key.hasPrefix(padding) ? [] : nil
        }
    }

    private static func edited(_ bytes: [UInt8], _ lines: (Substring) -> [String]?) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).flatMap { old in
            lines(old.prefix { $0 != "=" && $0 != " " }) ?? [String(old)]
        }.joined(separator: "\n")
    }
}

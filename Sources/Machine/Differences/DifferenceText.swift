/// A difference in lines, for people.
public enum DifferenceText {
    /// Lines of a list, when nobody wants all.
    public static let usualLimit = 20

    public static func lines(_ difference: SnapshotDifference, limit: Int = usualLimit) -> [String] {
        let names = "'\(difference.before ?? "")' -> " + (difference.after.map { "'\($0)'" } ?? "present state")
        guard !difference.isEmpty else { return ["\(names): nothing differs."] }
        var writer = Writer(limit: limit)
        writer.out = [names]
        writer.section("Settings", difference.settings) { ["\($0.name): \($0.before) -> \($0.after)"] }
        writer.section("Registers", difference.registers) { [field($0)] }
        writer.section("Devices", difference.devices) { [field($0)] }
        if let memory = difference.memory, memory.pagesDiffering > 0 { writer.memory(memory) }
        for disk in difference.disks where !disk.isEmpty { writer.disk(disk) }
        if !difference.notes.isEmpty { writer.out += [""] + difference.notes }
        return writer.out
    }

    private static func field(_ field: FieldDifference) -> String {
        switch (field.before, field.after) {
        case (let before?, let after?): "\(field.name): \(before) -> \(after)"
        case (let before?, nil): "\(field.name): \(before) -> gone"
        case (nil, let after): "\(field.name): new, \(after ?? "")"
        }
    }

    private struct Writer {
        let limit: Int
        var out: [String] = []

        init(limit: Int) { self.limit = limit }

        mutating func section<T>(_ title: String, _ items: [T], indent: String = "  ", _ lines: (T) -> [String]) {
            guard !items.isEmpty else { return }
            out += (indent == "  " ? [""] : []) + [String(indent.dropFirst(2)) + "\(title) (\(items.count))"]
            for item in items.prefix(limit) { out += lines(item).map { indent + $0 } }
            if items.count > limit { out.append("\(indent)... and \(items.count - limit) more; --all shows them.") }
        }

        mutating func memory(_ memory: MemoryDifference) {
            let count = memory.pagesDiffering
            section("Memory: \(count) page\(count == 1 ? "" : "s") of 4 KiB differ\(count == 1 ? "s" : ""), in ranges", memory.ranges) { range in
                let place = (range.isRAM ? "" : "firmware, video + ") + Writer.hex(range.address) + "-" + Writer.hex(range.address + (range.pages << 12) - 1)
                return [range.pages == 1 ? place : "\(place)  \(range.pages) pages"]
            }
            for page in memory.pages {
                out += ["", "\(page.isRAM ? "" : "firmware, video + ")\(Writer.hex(page.address)): \(page.count) byte\(page.count == 1 ? "" : "s")"]
                out += page.lines.map { "  " + $0 }
            }
        }

        mutating func disk(_ disk: DiskDifference) {
            let count = disk.sectorsDiffering
            section("Disk \(disk.number): \(count) sector\(count == 1 ? "" : "s") differ\(count == 1 ? "s" : ""), in ranges", disk.ranges) { range in
                [range.count == 1 ? "\(range.sector)" : "\(range.sector)-\(range.sector + range.count - 1)"]
            }
            if disk.ranges.isEmpty { out += ["", "Disk \(disk.number)"] }
            for note in disk.notes { out.append("  " + note + ".") }
            for volume in disk.volumes {
                let place = volume.partition == 0 ? "Whole disk" : "Partition \(volume.partition)"
                out.append("  \(place)\(volume.kind.isEmpty ? "" : ", \(volume.kind)")")
                for note in volume.notes { out.append("    Note: \(note).") }
                if volume.added.isEmpty, volume.removed.isEmpty, volume.changed.isEmpty, volume.notes.isEmpty { out.append("    No file differs.") }
                section("Added", volume.added, indent: "      ") { ["\($0.path)  \($0.bytes) bytes"] }
                section("Removed", volume.removed, indent: "      ") { ["\($0.path)  \($0.bytes) bytes"] }
                section("Changed", volume.changed, indent: "      ") { file in
                    let size = file.bytesAfter.map { $0 == file.bytes ? "\($0) bytes" : "\(file.bytes) -> \($0) bytes" } ?? ""
                    return ["\(file.path)  \(size)  (\(file.what.joined(separator: ", ")))"]
                }
            }
        }

        private static func hex(_ value: UInt64) -> String {
            let text = String(value, radix: 16, uppercase: true)
            return String(repeating: "0", count: max(0, 8 - text.count)) + text
        }
    }
}

import Glibc

/// What logs say of the host.
enum HostFacts {
    static var process: Int32 { getpid() }

    /// Kernel's name and release, and the kind of processor.
    static var system: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown host" }
        func text(_ field: some Any) -> String { withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } }
        return "\(text(names.sysname)) \(text(names.release)) \(text(names.machine))"
    }
}

/// Paths as users type them.
public enum HostPath {
    /// Absolute, without `.` and empty parts; links are not followed, so `..` stays where it may mean something else.
    public static func absolute(_ path: String, from current: String) -> String {
        let whole = path.hasPrefix("/") ? path : current + "/" + path
        return "/" + whole.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    /// Relative when it lies in the folder, so that it stays right when the folder is renamed or copied.
    public static func inside(_ path: String, folder: String) -> String {
        path.hasPrefix(folder + "/") ? String(path.dropFirst(folder.count + 1)) : path
    }
}
